/// Which group of ranks adds up which node of the reduction tree, for whom, and what groups send each other for
/// it, worked out for any number of ranks without any of them.
///
/// Every rank owns a piece of each bucket; what follows is of the pieces of one group's ranks, the owner's. The
/// tree is cut into **stages**: the root, its descendants log₂(fanIn) levels below, those below them, down
/// to the nodes that lie in the run of a single group. A stage's node v is added up, for each owner, by one of
/// the groups that computed a part of v:
///
///     at(root, owner) = owner
///     at(c, owner)    = at(v, owner), where that group has a part of v's child c
///                     = the j-th of the groups that have, j being the place of at(v, owner) among those of v that
///                       have not, counted round
///
/// So a sum of c travels only where at(c, owner) ≠ at(v, owner), and new values travel the same ways back. The
/// additions are the tree's, whatever the stages: they change no bit.
///
/// With as many stages as the tree has levels (`fanIn` 2) that is recursive halving: a group sends half of
/// each bucket to its neighbour, then a quarter to the next, and log₂ n messages in all. With a single stage
/// (`fanIn` 0) each group sends every owner its part: n − 1 messages and one round. Both send (n − 1) / n of a
/// bucket where runs are subtrees.
package struct ExchangeSchedule: Sendable {
  /// What a group sends another in a round, or gets from it.
  package struct Message: Hashable, Sendable {
    /// The other group.
    package let peer: Int
    /// Whose pieces it holds, ascending.
    package let owners: [Int]
    /// The tree's nodes whose sums it holds of each piece.
    package let nodes: [Range<Int>]
  }

  /// One group's messages of sums in a round; its values go the other way, last round first.
  package struct Round: Sendable {
    package var sends: [Message] = []
    package var receives: [Message] = []
  }

  package let tree: ReductionTree
  /// Children of a stage's node at most, a power of two; 0 for a single stage.
  package let fanIn: Int
  /// Groups that have a run, in leaf order, then those that have none.
  private let order: [Int]
  private let places: [Int]
  /// By place; of those that have one.
  private let runs: [Range<Int>]
  private let root: Stage
  package let rounds: Int

  /// A node, the places of the groups that have a part of it, and its children.
  private struct Stage: Sendable {
    let node: Range<Int>
    let groups: Range<Int>
    let children: [Stage]
    /// Of stages below.
    let height: Int
  }

  /// - Parameters:
  ///   - runs: each group's run of microbatches, empty for a group without any.
  ///   - fanIn: how many nodes are added up at a time at most: a power of two, 0 for all at once.
  package init(tree: ReductionTree, runs: [Range<Int>], fanIn: Int) {
    precondition(
      fanIn == 0 || (fanIn > 1 && fanIn & (fanIn - 1) == 0),
      "a fan-in expects 0 or a power of two from 2 on, got \(fanIn)")
    let busy = runs.indices.filter { !runs[$0].isEmpty }
      .sorted { runs[$0].lowerBound < runs[$1].lowerBound }
    precondition(
      busy.first.map { runs[$0].lowerBound } == 0 && busy.last.map { runs[$0].upperBound } == tree.leaves
        && zip(busy, busy.dropFirst()).allSatisfy { runs[$0].upperBound == runs[$1].lowerBound },
      "groups expect runs that adjoin and make up 0 ..< \(tree.leaves), got \(runs)")
    order = busy + runs.indices.filter { runs[$0].isEmpty }
    var places = Array(repeating: 0, count: runs.count)
    for (place, group) in order.enumerated() { places[group] = place }
    self.places = places
    self.tree = tree
    self.fanIn = fanIn
    let sorted = busy.map { runs[$0] }
    self.runs = sorted
    let whole = Self.stage(tree.root, tree, sorted, fanIn: fanIn)
    // A group that has all of it still has others' pieces to send them.
    root =
      whole.children.isEmpty && runs.count > 1
      ? Stage(node: whole.node, groups: whole.groups, children: [whole], height: 1) : whole
    rounds = root.height
  }

  /// The same for groups of ranks and their division of work.
  init(_ division: WorkDivision, groups: RankGroups, fanIn: Int) {
    let runs = groups.members.map { members -> Range<Int> in
      let runs = members.map { division.rankRuns[$0] }.filter { !$0.isEmpty }
      guard let first = runs.map(\.lowerBound).min(), let last = runs.map(\.upperBound).max() else {
        return 0..<0
      }
      return first..<last
    }
    self.init(tree: division.tree, runs: runs, fanIn: fanIn)
  }

  private static func stage(
    _ node: Range<Int>, _ tree: ReductionTree, _ runs: [Range<Int>], fanIn: Int
  ) -> Stage {
    let groups = Self.groups(with: node, runs)
    if groups.count == 1 { return Stage(node: node, groups: groups, children: [], height: 0) }
    var nodes = [node]
    var width = 1
    while fanIn == 0 || width < fanIn {
      let next = nodes.flatMap { node -> [Range<Int>] in
        guard Self.groups(with: node, runs).count > 1, let (left, right) = tree.children(of: node) else {
          return [node]
        }
        return [left, right]
      }
      if next.count == nodes.count { break }
      nodes = next
      width *= 2
    }
    let children = nodes.map { stage($0, tree, runs, fanIn: fanIn) }
    return Stage(
      node: node, groups: groups, children: children, height: 1 + (children.map(\.height).max() ?? 0))
  }

  /// The places of the groups whose runs have leaves of a node.
  private static func groups(with node: Range<Int>, _ runs: [Range<Int>]) -> Range<Int> {
    func first(_ isBeyond: (Range<Int>) -> Bool) -> Int {
      var (low, high) = (0, runs.count)
      while low < high {
        let middle = (low + high) / 2
        if isBeyond(runs[middle]) { high = middle } else { low = middle + 1 }
      }
      return low
    }
    return first { $0.upperBound > node.lowerBound }..<first { $0.lowerBound >= node.upperBound }
  }

  /// Where the child's sum is made for an owner for whom its parent's is made at place `at`.
  private func place(of child: Stage, in parent: Stage, at place: Int) -> Int {
    guard !child.groups.contains(place) else { return place }
    // Idle groups, which only the root knows, stand behind all others.
    let number =
      place - parent.groups.lowerBound - (place >= child.groups.upperBound ? child.groups.count : 0)
    return child.groups.lowerBound + number % child.groups.count
  }

  /// What is left of nodes when whoever has two siblings adds them up.
  private func merged(_ nodes: [Range<Int>]) -> [Range<Int>] {
    var stack: [Range<Int>] = []
    for node in nodes.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      stack.append(node)
      while stack.count > 1, tree.areSiblings(stack[stack.count - 2], stack[stack.count - 1]) {
        let right = stack.removeLast()
        stack.append(stack.removeLast().lowerBound..<right.upperBound)
      }
    }
    return stack
  }

  /// The maximal nodes of a group's run: what it begins with.
  package func nodes(of group: Int) -> [Range<Int>] {
    places[group] < runs.count ? tree.maximalNodes(in: runs[places[group]]) : []
  }

  /// What a group sends and gets, by round, first the sums of single groups.
  package func messages(of group: Int) -> [Round] {
    let own = places[group]
    // By round, direction and peer.
    var sends = Array(repeating: [Int: [Range<Int>: [Int]]](), count: rounds)
    var receives = sends
    /// `at`: by owner's place, where the sums of `stage` are made.
    func visit(_ stage: Stage, _ at: [(owner: Int, place: Int)]) {
      let round = stage.height - 1
      for child in stage.children {
        let below = at.map { (owner: $0.owner, place: place(of: child, in: stage, at: $0.place)) }
        for (above, below) in zip(at, below) where above.place != below.place {
          if below.place == own {
            sends[round][above.place, default: [:]][child.node, default: []].append(above.owner)
          }
          if above.place == own {
            receives[round][below.place, default: [:]][child.node, default: []].append(above.owner)
          }
        }
        // Only where the group takes part does anything below concern it.
        if child.groups.contains(own), !child.children.isEmpty { visit(child, below) }
      }
    }
    visit(root, order.indices.map { (owner: $0, place: $0) })
    func list(_ found: [Int: [Range<Int>: [Int]]]) -> [Message] {
      // The right neighbour first, so that not all write to the same group at once.
      found.keys.sorted { ($0 - own + order.count) % order.count < ($1 - own + order.count) % order.count }
        .flatMap { peer -> [Message] in
          // Nodes for the same owners share a message.
          let byOwners = Dictionary(grouping: found[peer] ?? [:]) { $0.value }
          return byOwners.map { owners, nodes in
            Message(
              peer: order[peer], owners: owners.map { order[$0] }.sorted(), nodes: merged(nodes.map(\.key)))
          }.sorted { $0.nodes[0].lowerBound < $1.nodes[0].lowerBound }
        }
    }
    return (0..<rounds).map { Round(sends: list(sends[$0]), receives: list(receives[$0])) }
  }
}
