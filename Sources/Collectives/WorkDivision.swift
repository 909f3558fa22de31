/// Which lane of which rank computes which microbatches of a step.
///
/// Lanes stand in (node, local rank, lane) order, and each owns a contiguous run. With m microbatches
/// over W lanes:
/// - a lane gets between ⌊m/W⌋ − s and ⌈m/W⌉ + s microbatches, where the slack s = ⌊⌈m/W⌉ / 20⌋ (at
///   most 32) is the 5 % of balance that a better border may cost; a rank of w lanes gets between
///   ⌊m·w/W⌋ − s·w and ⌈m·w/W⌉ + s·w;
/// - a border lies at most s below or s + 1 above the equal division, rounded down;
/// - among those divisions the ranks' borders are the ones with the fewest partial sums to send (maximal
///   tree nodes in the runs of the ranks), then the most equal, then the latest;
/// - the lanes of a rank divide its run by the same rule.
///
/// So 8 microbatches over 3 lanes are 2, 3 and 3 or a permutation of them, never 4, 2, 2.
package struct WorkDivision: Hashable, Sendable {
  package let tree: ReductionTree
  /// The run of each lane, by world rank and lane; empty for a lane without work.
  package let laneRuns: [[Range<Int>]]
  /// The run of each rank, by world rank.
  package let rankRuns: [Range<Int>]

  /// Divides `microbatches` over `lanes[r]` lanes of world rank r. `order` lists the world ranks in
  /// (node, local rank) order.
  package init(microbatches: Int, lanes: [Int], order: [Int]) {
    precondition(lanes.allSatisfy { $0 > 0 }, "every rank expects at least one lane, got \(lanes)")
    precondition(
      order.sorted() == Array(lanes.indices), "order expects each of \(lanes.count) ranks once, got \(order)")
    tree = ReductionTree(leaves: microbatches)
    let workers = lanes.reduce(0, +)
    let fewest = microbatches / workers
    let most = (microbatches + workers - 1) / workers
    let slack = min(32, most / 20)
    let bounds = LaneBounds(fewest: max(0, fewest - slack), most: most + slack, slack: slack)

    var rankRuns = Array(repeating: 0..<0, count: lanes.count)
    var laneRuns = Array(repeating: [Range<Int>](), count: lanes.count)
    let ordered = Self.divide(tree.root, over: order.map { lanes[$0] }, bounds, tree)
    for (rank, run) in zip(order, ordered) {
      rankRuns[rank] = run
      laneRuns[rank] = Self.divide(run, over: Array(repeating: 1, count: lanes[rank]), bounds, tree)
    }
    self.rankRuns = rankRuns
    self.laneRuns = laneRuns
  }

  package var idleLanes: Int { laneRuns.joined().count { $0.isEmpty } }
  package var idleRanks: Int { rankRuns.count { $0.isEmpty } }

  /// The partial sums that each rank sends, by world rank.
  package var rankNodes: [[Range<Int>]] { rankRuns.map(tree.maximalNodes) }

  /// The largest `training.microbatch` that gives each of `lanes` lanes work from a batch of `batch`
  /// images with equal microbatches; nil where the batch has fewer images than there are lanes.
  package static func microbatchThatWouldUseAll(lanes: Int, batch: Int) -> Int? {
    batch >= lanes ? batch / lanes : nil
  }
}

extension WorkDivision {
  /// How many microbatches one lane may get, and how far a border may stray.
  private struct LaneBounds {
    let fewest: Int
    let most: Int
    let slack: Int

    /// Whether `weight` of `total` lanes that share `all` microbatches may get `count`.
    func allow(_ count: Int, weight: Int, of all: Int, total: Int) -> Bool {
      count >= max(weight * fewest, all * weight / total - slack * weight)
        && count <= min(weight * most, (all * weight + total - 1) / total + slack * weight)
    }
  }

  /// What a division costs, most important first.
  private struct Cost: Comparable {
    var partials: Int
    var imbalance: Int

    static func < (a: Self, b: Self) -> Bool { (a.partials, a.imbalance) < (b.partials, b.imbalance) }
  }

  /// Divides a run over shares of `weights[k]` lanes each: the shortest path over the borders.
  private static func divide(
    _ run: Range<Int>, over weights: [Int], _ bounds: LaneBounds, _ tree: ReductionTree
  ) -> [Range<Int>] {
    let total = weights.reduce(0, +)
    var costs = [run.lowerBound: Cost(partials: 0, imbalance: 0)]
    var previous: [[Int: Int]] = []
    var lanesBefore = 0
    for weight in weights {
      lanesBefore += weight
      let ideal = run.lowerBound + run.count * lanesBefore / total
      let window =
        lanesBefore == total
        ? run.upperBound...run.upperBound
        : max(run.lowerBound, ideal - bounds.slack)...min(run.upperBound, ideal + bounds.slack + 1)
      var next: [Int: Cost] = [:]
      var origin: [Int: Int] = [:]
      for border in window {
        for (start, cost) in costs {
          let count = border - start
          guard bounds.allow(count, weight: weight, of: run.count, total: total) else { continue }
          let excess = count * total - run.count * weight
          let reached = Cost(
            partials: cost.partials + tree.maximalNodes(in: start..<border).count,
            imbalance: cost.imbalance + excess * excess)
          if let known = next[border], let from = origin[border], (known, -from) <= (reached, -start) {
            continue
          }
          next[border] = reached
          origin[border] = start
        }
      }
      costs = next
      previous.append(origin)
    }
    var runs: [Range<Int>] = []
    var end = run.upperBound
    for origin in previous.reversed() {
      guard let start = origin[end] else {
        preconditionFailure("no division of \(run) over \(weights) lanes")
      }
      runs.append(start..<end)
      end = start
    }
    return runs.reversed()
  }
}
