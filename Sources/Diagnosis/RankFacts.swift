import Collectives
import Foundation
import Tensors
import Training

/// What one rank knows of itself and of where it runs.
package struct RankFacts: Codable, Sendable {
  package var version = Version.current
  package var compiler = RankFacts.compilerName
  package var mpi = MPILibrary.name
  package var mpiHeaders = MPILibrary.headers
  /// nil where MPI isn't started.
  package var threadLevel: String?

  package var cpu = CPUModel.name
  /// The best instruction set of the CPU, and the one that is used; why none, where none is.
  package var detectedISA = InstructionSet.detected.rawValue
  package var selectedISA: String?
  package var isaProblem: String?
  package var blasKernel = GEMM.kernelName
  package var blas = GEMM.configuration

  /// Variables that launchers, MPI and BLAS read or set.
  package var environment: [String: String] = [:]
  package var memory: [MemoryLimit] = []
  /// Bytes of address space and open files that the process may have; nil where there is no limit.
  package var addressSpace: Int?
  package var openFiles: Int?
  /// The kernel's word on transparent huge pages: `always`, `madvise` or `never`.
  package var hugePages: String?
  /// The folder for sessions of MPI, and what is wrong with it.
  package var temporaryFolder = "/tmp"
  package var temporaryProblem: String?
  /// How long it takes to look up this host's own name; nil where it isn't found.
  package var lookupSeconds: Double?
  /// How far the wall clock is ahead of rank 0's.
  package var clockSkew = 0.0
  /// The run's folder and the data's, as measured by the first rank of a node.
  package var runs: StorageFacts?
  package var data: StorageFacts?

  package init() {}

  /// Those of this process, but for what takes the other ranks to know.
  package static func ofThisProcess(_ environment: [String: String]) -> RankFacts {
    var facts = RankFacts()
    do {
      facts.selectedISA = try InstructionSet.selected(pinnedTo: environment["CNN_DIST_ISA"]).rawValue
    } catch {
      facts.isaProblem = "\(error)"
    }
    facts.environment = environment.filter { name, _ in watched.contains { name.hasPrefix($0) } }
    facts.memory = MemoryLimit.current()
    facts.addressSpace = limit(__rlimit_resource_t(RLIMIT_AS.rawValue))
    facts.openFiles = limit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue))
    facts.hugePages = kernelText("/sys/kernel/mm/transparent_hugepage/enabled").flatMap(chosenWord)
    facts.temporaryFolder = environment["TMPDIR"] ?? "/tmp"
    facts.temporaryProblem = StorageProbe.writingProblem(in: facts.temporaryFolder)
    facts.lookupSeconds = NameLookup.secondsForOwnName()
    return facts
  }

  private static let watched = [
    "SLURM_", "SRUN_", "OMPI_", "PMIX_", "PMI_", "PRTE_", "CNN_DIST_", "OPENBLAS_", "OMP_",
  ]

  /// The one between brackets: `always [madvise] never`.
  static func chosenWord(_ text: String) -> String? {
    text.split(separator: "[").dropFirst().first?.split(separator: "]").first.map { String($0) }
  }

  private static func limit(_ resource: __rlimit_resource_t) -> Int? {
    var limits = rlimit()
    guard getrlimit(resource, &limits) == 0, limits.rlim_cur < UInt64(Int.max) else { return nil }
    return Int(limits.rlim_cur)
  }

  private static var compilerName: String {
    #if compiler(>=6.4)
      "Swift 6.4 or newer"
    #elseif compiler(>=6.3)
      "Swift 6.3"
    #elseif compiler(>=6.2)
      "Swift 6.2"
    #else
      "Swift 6.1"
    #endif
  }
}
