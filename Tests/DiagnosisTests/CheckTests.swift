import Collectives
import Diagnosis
import Testing

/// Sane facts have no complaint, and each planted fault has its own, by name.
@Suite struct CheckTests {
  /// What is wrong, as `verdict group check`.
  private func complaints(_ facts: JobFacts) -> [String] {
    Diagnosed(facts).findings.filter { $0.verdict != .ok }.map { "\($0.verdict) \($0.group) \($0.check)" }
  }

  private func planting(_ fault: (inout JobFacts) -> Void) -> [String] {
    var facts = saneJob()
    fault(&facts)
    return complaints(facts)
  }

  @Test func saneFactsHaveNoComplaint() {
    #expect(complaints(saneJob()) == [])
    #expect(complaints(saneProcess()) == [])
    let groups = Set(Diagnosed(saneJob()).findings.map(\.group))
    #expect(
      groups == ["program", "launch", "processor", "cores", "memory", "storage", "clock"])
  }

  @Test func everyComplaintHasAFix() {
    var facts = saneJob()
    facts.ranks[2].clockSkew = 3
    facts.ranks[1].hugePages = "never"
    for finding in Diagnosed(facts).findings {
      #expect((finding.fix == nil) == (finding.verdict == .ok), "\(finding)")
    }
  }

  @Test func otherPrograms() {
    #expect(planting { $0.ranks[3].version = "0.0.9" } == ["failure program version"])
    #expect(planting { $0.ranks[3].mpi = "Open MPI v5.0.1" } == ["failure program MPI"])
    #expect(planting { for rank in 0..<4 { $0.ranks[rank].mpiHeaders = "5.0.1" } } == ["failure program MPI"])
    #expect(planting { $0.ranks[1].blas = "OpenBLAS 0.3.30" } == ["failure program BLAS"])
  }

  @Test func launching() {
    #expect(
      planting {
        $0.isLaunched = false
        $0.launchProblem = "3 processes were started together"
      } == ["failure launch MPI"])
    #expect(planting { $0.ranks[1].lookupSeconds = 5 } == ["warning launch names"])
    #expect(planting { $0.ranks[1].lookupSeconds = nil } == ["warning launch names"])
    #expect(
      planting { $0.ranks[2].temporaryProblem = "/tmp: Read-only file system" } == [
        "failure launch temporary"
      ])
    #expect(
      planting { $0.ranks[2].temporaryFolder = "/scratch/" + String(repeating: "x", count: 60) }
        == ["failure launch temporary"])
  }

  @Test func aTrialOfMPI() {
    var alone = saneProcess()
    alone.trial = MPITrial(problem: "There are not enough slots available", seconds: 0.2)
    #expect(complaints(alone) == ["failure launch MPI"])
    let fix = Diagnosed(alone).findings.first { $0.verdict == .failure }?.fix
    #expect(fix?.contains("--oversubscribe") == true)
    alone.trial = MPITrial(seconds: 11, sharesMemory: false)
    #expect(complaints(alone) == ["warning launch MPI", "warning launch sharing"])
  }

  @Test func processors() {
    #expect(planting { $0.ranks[3].selectedISA = "avx2" } == ["failure processor instruction set"])
    #expect(
      planting {
        $0.ranks[0].selectedISA = nil
        $0.ranks[0].isaProblem = "CNN_DIST_ISA expects ref, avx2 or avx512"
      } == ["failure processor instruction set"])
    #expect(
      planting { for rank in 0..<4 { $0.ranks[rank].selectedISA = "avx2" } }
        == ["warning processor instruction set"])
    #expect(planting { $0.ranks[2].blasKernel = "Haswell" } == ["failure processor BLAS kernel"])
    #expect(
      planting {
        for rank in 0..<4 {
          $0.ranks[rank].blasKernel = "Haswell"
          $0.ranks[rank].environment["OPENBLAS_CORETYPE"] = "Haswell"
        }
      } == ["warning processor BLAS kernel"])
    #expect(planting { $0.ranks[2].cpu = "Another" } == ["warning processor model"])
  }

  @Test func coresAndLanes() {
    // Both ranks of a node bound to one core of four.
    #expect(
      planting {
        for rank in 2..<4 { $0.reports[rank].cpus = [LogicalCPU(id: 0, core: 0)] }
      } == ["warning cores share", "warning cores binding"])
    #expect(
      planting {
        for rank in 0..<4 { $0.reports[rank].quota = CPUQuota(cpus: 1.5, group: "/box") }
      } == ["warning cores quota", "warning cores quota", "warning cores binding"])
    #expect(planting { $0.config.training.batch = 32 } == ["warning cores work"])
  }

  @Test func memory() {
    #expect(
      planting { $0.ranks[2].memory = [MemoryLimit(bytes: 150 << 20, group: "/box")] } == [
        "failure memory free"
      ])
    #expect(planting { $0.ranks[2].memory = [MemoryLimit(bytes: 700 << 20)] } == ["warning memory free"])
    #expect(planting { $0.ranks[3].addressSpace = 1 << 30 } == ["failure memory limits"])
    #expect(planting { $0.ranks[3].openFiles = 64 } == ["warning memory limits"])
    #expect(planting { $0.sharesMemory = false } == ["warning memory sharing"])
    #expect(planting { $0.ranks[2].hugePages = "never" } == ["warning memory huge pages"])
  }

  @Test func storage() {
    #expect(
      planting { $0.ranks[0].runs?.problem = "/shared: Read-only file system" } == ["failure storage runs"])
    #expect(
      planting { $0.ranks[2].data?.problem = "/shared/cells: No such file" } == ["failure storage data"])
    #expect(planting { $0.ranks[0].runs?.bytesPerSecond = 2e6 } == ["warning storage runs"])
    #expect(planting { $0.ranks[2].runs?.kind = "tmpfs" } == ["warning storage runs"])
    #expect(
      planting { for rank in [0, 2] { $0.ranks[rank].runs?.freeBytes = 1 << 20 } } == ["warning storage runs"]
    )
    #expect(
      planting { for rank in [0, 2] { $0.ranks[rank].data?.filesPerSecond = 20 } } == ["warning storage data"]
    )
  }

  @Test func clocks() {
    #expect(planting { $0.ranks[3].clockSkew = -20 } == ["warning clock skew"])
    #expect(planting { $0.ranks[3].clockSkew = 400 } == ["failure clock skew"])
  }

  @Test func hostsOfAHostfile() {
    func host(_ fault: (inout HostFacts) -> Void) -> [String] {
      planting {
        $0.hostfile = Hostfile(path: "hosts", text: "node0 slots=2\n# the second\nnode1 slots=2\n")
        var facts = HostFacts(host: "node1", slots: 2, cores: 4, version: $0.ranks[0].version, seconds: 0.2)
        fault(&facts)
        $0.hosts = [facts]
      }
    }
    #expect(host { _ in } == [])
    #expect(host { $0.problem = "Permission denied (publickey)." } == ["failure hosts ssh"])
    #expect(host { $0.seconds = 9 } == ["warning hosts ssh"])
    #expect(host { $0.version = nil } == ["failure hosts program"])
    #expect(host { $0.version = "0.0.9" } == ["failure hosts program"])
    #expect(host { $0.slots = 9 } == ["warning hosts slots"])
    #expect(
      planting { $0.hostfile = Hostfile(path: "hosts", text: "node0 slot=2\nnode0\n") }
        == ["failure hosts file", "failure hosts file"])
    #expect(planting { $0.hostfile = Hostfile(path: "hosts", text: "# none\n") } == ["failure hosts file"])
  }

  @Test func slurm() {
    func slurm(_ variables: [String: String], launched: Bool = true) -> [String] {
      planting {
        for rank in 0..<4 { $0.ranks[rank].environment = variables.merging(["SLURM_JOB_ID": "7"]) { $1 } }
        $0.isLaunched = launched
      }
    }
    let sane = ["SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_NUM_NODES": "2"]
    func with(_ more: [String: String]) -> [String: String] { sane.merging(more) { $1 } }
    #expect(slurm(sane) == [])
    #expect(slurm(with(["SLURM_CPUS_PER_TASK": "2"])) == [])
    #expect(slurm(with(["SLURM_JOB_NUM_NODES": "3"])) == ["warning slurm job"])
    #expect(slurm(with(["SLURM_STEP_NUM_TASKS": "8"])) == ["failure slurm tasks"])
    #expect(slurm(sane, launched: false) == ["warning slurm tasks"])
    // A rank may run on four cores, and gets two as its share; eight are promised.
    #expect(slurm(with(["SLURM_CPUS_PER_TASK": "8"])) == ["warning slurm cores"])
    #expect(slurm(with(["SLURM_CPUS_PER_TASK": "1"])) == ["warning slurm cores"])
  }
}
