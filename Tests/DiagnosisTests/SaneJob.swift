import Collectives
import Diagnosis
import Training

/// Four ranks on two nodes of four cores, with nothing to complain of.
func saneJob() -> JobFacts {
  let ranks = (0..<4).map { rank in
    var facts = RankFacts()
    facts.mpi = "Open MPI v4.1.4"
    facts.mpiHeaders = "4.1.4"
    facts.threadLevel = "funneled"
    facts.cpu = "A CPU"
    facts.detectedISA = "avx512"
    facts.selectedISA = "avx512"
    facts.blasKernel = "SkylakeX"
    facts.blas = "OpenBLAS 0.3.21"
    facts.environment = ["OMPI_COMM_WORLD_SIZE": "4"]
    facts.memory = [MemoryLimit(bytes: 16 << 30)]
    facts.openFiles = 1024
    facts.hugePages = "madvise"
    facts.lookupSeconds = 0.001
    if rank % 2 == 0 {
      var runs = StorageFacts(path: "/shared/runs")
      (runs.kind, runs.freeBytes, runs.bytesPerSecond) = ("nfs", 1 << 40, 500e6)
      var data = StorageFacts(path: "/shared/cells")
      (data.kind, data.bytesPerSecond, data.filesPerSecond) = ("nfs", 100e6, 2000)
      (facts.runs, facts.data) = (runs, data)
    }
    return facts
  }
  let reports = (0..<4).map { rank in
    RankReport(
      host: "node\(rank / 2)", cpus: (0..<4).map { LogicalCPU(id: $0, core: $0) }, unboundCores: [0, 1, 2, 3])
  }
  let places = (0..<4).map { Communicator.Place(node: $0 / 2, localRank: $0 % 2, localSize: 2) }
  return JobFacts(ranks: ranks, reports: reports, places: places, isLaunched: true, sharesMemory: true)
}

/// The same, alone on one node.
func saneProcess() -> JobFacts {
  var job = saneJob()
  job.ranks = [job.ranks[0]]
  job.ranks[0].threadLevel = nil
  job.ranks[0].environment = [:]
  job.reports = [job.reports[0]]
  job.places = [Communicator.Place(node: 0, localRank: 0, localSize: 1)]
  (job.isLaunched, job.sharesMemory) = (false, nil)
  job.trial = MPITrial(seconds: 0.6, sharesMemory: true)
  return job
}
