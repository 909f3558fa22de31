import Collectives
import Training

/// Everything that the checks look at: what all ranks know, and what rank 0 has tried.
package struct JobFacts: Sendable {
  /// By rank.
  package var ranks: [RankFacts]
  package var reports: [RankReport]
  package var places: [Communicator.Place]
  /// Whether MPI started the ranks.
  package var isLaunched: Bool
  /// Why they can't find each other.
  package var launchProblem: String?
  /// nil where no node has two ranks.
  package var sharesMemory: Bool?
  /// What came of `mpirun`, tried by a process alone.
  package var trial: MPITrial?
  package var hostfile: Hostfile?
  package var hosts: [HostFacts]
  package var config: RunConfig

  package init(
    ranks: [RankFacts], reports: [RankReport], places: [Communicator.Place], isLaunched: Bool,
    launchProblem: String? = nil, sharesMemory: Bool? = nil, trial: MPITrial? = nil,
    hostfile: Hostfile? = nil, hosts: [HostFacts] = [], config: RunConfig = RunConfig()
  ) {
    (self.ranks, self.reports, self.places) = (ranks, reports, places)
    (self.isLaunched, self.launchProblem) = (isLaunched, launchProblem)
    (self.sharesMemory, self.trial) = (sharesMemory, trial)
    (self.hostfile, self.hosts, self.config) = (hostfile, hosts, config)
  }

  /// Who computes on which cores.
  var placement: Placement {
    Placement(reports: reports, places: places, rank: 0, launched: isLaunched)
  }

  var nodeCount: Int { places.reduce(0) { max($0, $1.node + 1) } }

  /// The first rank of each node.
  var nodeLeaders: [Int] { places.indices.filter { places[$0].localRank == 0 } }

  func host(_ rank: Int) -> String { reports[rank].host }

  /// `all ranks`, `rank 3`, `ranks 0–2`.
  func name(of some: [Int]) -> String {
    some.count == ranks.count
      ? (ranks.count == 1 ? "this process" : "all ranks") : Disagreement.name(of: some)
  }

  /// The ranks that have something in common, by that, in the order of their first rank.
  func groups<Key: Hashable>(by key: (Int) -> Key) -> [(key: Key, ranks: [Int])] {
    var groups: [(key: Key, ranks: [Int])] = []
    for rank in ranks.indices {
      let value = key(rank)
      if let known = groups.firstIndex(where: { $0.key == value }) {
        groups[known].ranks.append(rank)
      } else {
        groups.append((value, [rank]))
      }
    }
    return groups
  }

  /// `ranks 0–1: x; rank 2: y`.
  func differing<Key: Hashable>(_ groups: [(key: Key, ranks: [Int])]) -> String {
    groups.map { "\(Disagreement.name(of: $0.ranks)): \($0.key)" }.joined(separator: "; ")
  }
}
