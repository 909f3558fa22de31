import CellData
import Collectives
import Foundation
import Training

/// Gathers what all ranks know and what rank 0 tries.
package struct Examination {
  package var config: RunConfig
  /// Where the run will be written.
  package var runs: String
  package var hostfile: String?
  package var environment: [String: String]
  /// This program, to be tried under mpirun and by ssh.
  package var program: String

  package init(
    config: RunConfig, runs: String, hostfile: String?, environment: [String: String], program: String
  ) {
    (self.config, self.runs, self.hostfile) = (config, runs, hostfile)
    (self.environment, self.program) = (environment, program)
  }

  /// The facts, on rank 0; nil elsewhere. Collective.
  package func facts(_ communicator: Communicator, launchProblem: String? = nil) throws -> JobFacts? {
    var mine = RankFacts.ofThisProcess(environment)
    mine.threadLevel = MPILibrary.threadLevel(communicator)
    let lanes = config.training.lanes
    let report = RankReport.ofThisProcess(lanes: lanes == 0 ? nil : lanes)
    let reports = try communicator.allGather(report.encoded).map { RankReport(decoding: $0) }
    mine.clockSkew = try communicator.wallClockSkew()
    // Every node at the same time, as a job would.
    try communicator.barrier()
    if communicator.place.localRank == 0 {
      mine.runs = StorageProbe.writing(to: runs)
      if config.data.path != DataConfig.synthetic { mine.data = StorageProbe.reading(from: config.data.path) }
    }
    let shares =
      communicator.places.contains { $0.localSize > 1 } ? try communicator.canShareMemory() : nil
    let ranks = try communicator.exchange(mine)
    var facts: JobFacts?
    if communicator.rank == 0 {
      facts = JobFacts(
        ranks: ranks, reports: reports, places: communicator.places,
        isLaunched: communicator.size > 1 || mine.threadLevel != nil, launchProblem: launchProblem,
        sharesMemory: shares, config: config)
      try addTrials(to: &facts)
    }
    try communicator.barrier()
    return facts
  }

  private func addTrials(to facts: inout JobFacts?) throws {
    guard var known = facts else { return }
    if !known.isLaunched && known.launchProblem == nil {
      known.trial = MPITrial.run(program: program, cores: known.reports[0].unboundCores.count)
    }
    if let hostfile {
      guard let bytes = FileManager.default.contents(atPath: hostfile) else {
        throw RunError("\(hostfile): can't read the hostfile")
      }
      let file = Hostfile(path: hostfile, text: String(decoding: bytes, as: UTF8.self))
      known.hostfile = file
      known.hosts = HostProbe.ask(file.entries, program: program)
    }
    facts = known
  }
}
