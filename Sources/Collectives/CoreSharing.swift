/// Shares out the cores of a node among its ranks.
package enum CoreSharing {
  /// The cores of each local rank, given the cores that each may run on. Cores that several ranks may
  /// run on go to one of them, so that shares are nearly equal; ranks share a core only where there
  /// are fewer cores than ranks. Every rank has at least one.
  ///
  /// Ranks that may all run on the same cores (no binding, or several in a socket) get neighbouring
  /// cores; where the masks overlap only in part, the scarcest core goes first, to the rank that has
  /// the fewest.
  package static func share(_ claims: [[Int]]) -> [[Int]] {
    precondition(
      claims.allSatisfy { !$0.isEmpty }, "every rank expects a core that it may run on, got \(claims)")
    let claims = claims.map { Set($0) }
    var shares = Array(repeating: [Int](), count: claims.count)
    for ranks in overlapping(claims) {
      if ranks.allSatisfy({ claims[$0] == claims[ranks[0]] }) {
        let cores = claims[ranks[0]].sorted()
        for (place, rank) in ranks.enumerated() {
          let first = cores.count * place / ranks.count
          let end = max(first + 1, cores.count * (place + 1) / ranks.count)
          shares[rank] = Array(cores[first..<end])
        }
      } else {
        shareUnequal(claims, of: ranks, into: &shares)
      }
    }
    return shares
  }

  /// CPUs' worth of time of each of `ranks` ranks that share `quota`: whole ones, at least one each.
  package static func share(quota: Double, ranks: Int) -> [Int] {
    (0..<ranks).map { rank in
      max(1, Int(quota * Double(rank + 1) / Double(ranks)) - Int(quota * Double(rank) / Double(ranks)))
    }
  }

  /// Ranks whose masks overlap, directly or through others, together.
  private static func overlapping(_ claims: [Set<Int>]) -> [[Int]] {
    var groups: [(cores: Set<Int>, ranks: [Int])] = []
    for (rank, cores) in claims.enumerated() {
      var joined = (cores: cores, ranks: [rank])
      for group in groups where !group.cores.isDisjoint(with: cores) {
        joined.cores.formUnion(group.cores)
        joined.ranks += group.ranks
      }
      groups.removeAll { !$0.cores.isDisjoint(with: cores) }
      groups.append(joined)
    }
    return groups.map { $0.ranks.sorted() }
  }

  private static func shareUnequal(_ claims: [Set<Int>], of ranks: [Int], into shares: inout [[Int]]) {
    let cores = ranks.reduce(into: Set<Int>()) { $0.formUnion(claims[$1]) }
    func claimants(_ core: Int) -> [Int] { ranks.filter { claims[$0].contains(core) } }
    let scarcestFirst = cores.map { (claimants: claimants($0), core: $0) }
      .sorted { ($0.claimants.count, $0.core) < ($1.claimants.count, $1.core) }
    var users: [Int: Int] = [:]
    for (claimants, core) in scarcestFirst {
      guard let rank = claimants.min(by: { (shares[$0].count, $0) < (shares[$1].count, $1) }) else {
        continue
      }
      shares[rank].append(core)
      users[core] = 1
    }
    for rank in ranks where shares[rank].isEmpty {
      guard let core = claims[rank].min(by: { (users[$0, default: 0], $0) < (users[$1, default: 0], $1) })
      else { continue }
      shares[rank] = [core]
      users[core, default: 0] += 1
    }
    for rank in ranks { shares[rank].sort() }
  }
}
