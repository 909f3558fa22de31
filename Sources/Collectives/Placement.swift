import Glibc

/// Which cores each rank of the job computes on, and with how many lanes.
///
/// The ranks of a node tell each other where they may run and share out the cores that overlap:
/// OpenMPI binds to a core up to two ranks, to a socket above, and not at all with --oversubscribe. A
/// rank runs one lane on each physical core of its share, unless told how many.
package struct Placement: Sendable {
  /// A rank's row in the table at the head of the log.
  package struct Row: Hashable, Sendable {
    package let rank: Int
    package let host: String
    package let node: Int
    /// One CPU for each physical core of the rank's share.
    package let cores: [Int]
    package let lanes: Int
    /// Whether each lane stays on a core of its own.
    package let pinned: Bool

    package init(rank: Int, host: String, node: Int, cores: [Int], lanes: Int, pinned: Bool) {
      (self.rank, self.host, self.node, self.cores, self.lanes) = (rank, host, node, cores, lanes)
      self.pinned = pinned
    }
  }

  /// By world rank.
  package let rows: [Row]
  /// What to tell the user once, from rank 0.
  package let warnings: [String]
  /// This rank's row.
  package let own: Row
  /// All CPUs of this rank's share, hardware threads included: for threads that aren't lanes.
  package let cpus: [Int]

  /// Agrees on the cores of all ranks; `lanes` is the number of lanes that the user wants in this rank,
  /// `pin` whether they may be bound to cores. Collective, from the main thread, before any thread is bound.
  package static func establish(
    _ communicator: Communicator, lanes: Int? = nil, pin: Bool = true
  ) throws -> Placement {
    let all = try communicator.allGather(RankReport.ofThisProcess(lanes: lanes).encoded)
    return Placement(
      reports: all.map { RankReport(decoding: $0) }, places: communicator.places, rank: communicator.rank,
      launched: communicator.usesMPI, pin: pin)
  }

  /// The placement that follows from what all ranks report; `launched` where a launcher started them,
  /// which may have bound them.
  package init(
    reports: [RankReport], places: [Communicator.Place], rank: Int, launched: Bool, pin: Bool = true
  ) {
    var rows: [Row?] = Array(repeating: nil, count: reports.count)
    var warnings: [String] = []
    var ownCPUs: [Int] = []
    for node in 0...(places.map(\.node).max() ?? 0) {
      let ranks = places.indices.filter { places[$0].node == node }.sorted {
        places[$0].localRank < places[$1].localRank
      }
      let shares = CoreSharing.share(ranks.map { reports[$0].cpus.map(\.core) })
      for (place, member) in ranks.enumerated() {
        let report = reports[member]
        let cores = shares[place]
        let limit = Self.quotaShare(of: member, among: ranks, reports)
        let firstCPUs = cores.map { core in report.cpus.filter { $0.core == core }.map(\.id).min() ?? core }
        let usable = min(cores.count, limit ?? cores.count)
        let lanes = report.lanes ?? usable
        // Bind a lane to a core only where the share is the rank's own and is filled: another process may
        // use what is left, and a time limit does not say which cores.
        let shared = shares.enumerated().contains { $0 != place && !Set($1).isDisjoint(with: cores) }
        rows[member] = Row(
          rank: member, host: report.host, node: node, cores: firstCPUs, lanes: lanes,
          pinned: pin && lanes == cores.count && !shared && usable == cores.count)
        if lanes > usable {
          let why =
            usable < cores.count ? "CPU time for \(usable)" : "\(usable) core\(usable == 1 ? "" : "s")"
          warnings.append("\(report.host): rank \(member) runs \(lanes) lanes on \(why)")
        }
        if member == rank {
          ownCPUs = report.cpus.filter { cores.contains($0.core) }.map(\.id)
        }
      }
      if launched { warnings += Self.bindingWarnings(ranks, shares, reports) }
    }
    self.rows = rows.compactMap { $0 }
    self.warnings = warnings
    own = self.rows[rank]
    cpus = ownCPUs
  }

  /// The number of lanes of each rank, by world rank: what `WorkDivision` takes.
  package var lanes: [Int] { rows.map(\.lanes) }

  /// The CPU that a lane of this rank should be bound to (`CPUAffinity.bindCallingThread`); nil where
  /// the system had better choose.
  package func cpu(ofLane lane: Int) -> Int? { own.pinned ? own.cores[lane] : nil }

  /// The whole CPUs that a member of `ranks` may use of a limit that it shares with others.
  private static func quotaShare(of rank: Int, among ranks: [Int], _ reports: [RankReport]) -> Int? {
    guard let quota = reports[rank].quota else { return nil }
    let sharing = ranks.filter { reports[$0].quota?.group == quota.group }
    guard let place = sharing.firstIndex(of: rank) else { return nil }
    return CoreSharing.share(quota: quota.cpus, ranks: sharing.count)[place]
  }

  private static func bindingWarnings(_ ranks: [Int], _ shares: [[Int]], _ reports: [RankReport]) -> [String]
  {
    let host = reports[ranks[0]].host
    let used = Set(shares.joined())
    let available = Set(ranks.flatMap { reports[$0].unboundCores })
    let allowed = Set(ranks.flatMap { reports[$0].cpus.map(\.core) })
    let fix = "mpirun --bind-to none or another --map-by, srun --cpus-per-task"
    if used.count < ranks.count {
      let crowded = "\(host): \(ranks.count) ranks share \(used.count) core\(used.count == 1 ? "" : "s")"
      return [
        available.count > used.count
          ? "\(crowded) although \(available.count) are there (\(fix))"
          : "\(crowded): fewer ranks would be as fast"
      ]
    }
    guard available.count > allowed.count else { return [] }
    return [
      "\(host): the launcher bound its ranks to \(allowed.count) of \(available.count) cores (\(fix) frees the others)"
    ]
  }
}
