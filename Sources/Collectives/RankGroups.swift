/// Which ranks exchange through memory that they share: those of a node, or each rank alone.
///
/// Between two groups, each pair of an owner and the member of the other group that deals with it (its
/// deputy there) exchanges messages: the deputy sends the group's partial sums of what the owner owns, and
/// gets the new values for the whole group.
struct RankGroups: Hashable, Sendable {
  /// World ranks, by group.
  let members: [[Int]]
  private let groups: [Int]
  private let places: [Int]

  init(_ members: [[Int]]) {
    let size = members.joined().count
    precondition(
      members.joined().sorted() == Array(0..<size), "groups expect each rank once, got \(members)")
    self.members = members
    var (groups, places) = (Array(repeating: 0, count: size), Array(repeating: 0, count: size))
    for (group, ranks) in members.enumerated() {
      for (place, rank) in ranks.enumerated() { (groups[rank], places[rank]) = (group, place) }
    }
    (self.groups, self.places) = (groups, places)
  }

  static func alone(_ size: Int) -> RankGroups { RankGroups((0..<size).map { [$0] }) }

  static func byNode(_ places: [Communicator.Place]) -> RankGroups {
    let nodes = Dictionary(grouping: places.indices) { places[$0].node }
    return RankGroups(
      nodes.keys.sorted().map { node in
        (nodes[node] ?? []).sorted { places[$0].localRank < places[$1].localRank }
      })
  }

  var count: Int { members.count }
  func group(of rank: Int) -> Int { groups[rank] }
  /// The place of a rank in its group.
  func place(of rank: Int) -> Int { places[rank] }

  /// The member of `group` that exchanges with `owner`, a rank of another group.
  func deputy(for owner: Int, in group: Int) -> Int {
    members[group][places[owner] % members[group].count]
  }

  /// The ranks of other groups that `rank` is the deputy for, its right neighbour first, so that not all
  /// ranks of the job write to rank 0 at once.
  func owners(dealingWith rank: Int) -> [Int] {
    let size = groups.count
    return (1..<max(1, size)).map { (rank + $0) % size }.filter {
      groups[$0] != groups[rank] && deputy(for: $0, in: groups[rank]) == rank
    }
  }
}
