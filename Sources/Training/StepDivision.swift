import Collectives

/// What one lane does in a step: its run of microbatches, cut into waves.
struct LaneWork: Sendable {
  struct Wave: Sendable {
    /// How the leaves of the wave are added up.
    let sums: AccumulationPlan
    /// The lane's partial that takes the wave's first maximal node; the others follow.
    let firstPartial: Int
    /// The number of the lane's first stack slot.
    let firstStackSlot: Int

    /// The lane's slot for a slot of the accumulation plan.
    func slot(_ slot: Int) -> Int {
      slot < sums.nodes.count ? firstPartial + slot : firstStackSlot + slot - sums.nodes.count
    }
  }

  let waves: [Wave]
}

/// Who computes what in a step of a given number of microbatches, and where the lanes of this rank leave
/// their sums. Made once for each number of microbatches that occurs.
struct StepDivision: Sendable {
  let division: WorkDivision
  /// This rank's run of microbatch numbers.
  let run: Range<Int>
  /// By lane of this rank.
  let lanes: [LaneWork]
  /// Where the lanes leave their partial sums, in leaf order: lane l has the buffers from l · slots on.
  let sums: [PartialSum]

  /// - Parameters:
  ///   - partials: how many buffers for partial sums every lane has.
  init(microbatches: Int, layout: JobLayout, wave: Int, partials: Int) {
    division = WorkDivision(microbatches: microbatches, lanes: layout.lanes, order: layout.order)
    run = division.rankRuns[layout.rank]
    let tree = division.tree
    lanes = division.laneRuns[layout.rank].map { run in
      var first = 0
      return LaneWork(
        waves: Self.waves(of: run, wave: wave).map { part in
          let sums = AccumulationPlan(tree: tree, run: part)
          defer { first += sums.nodes.count }
          return LaneWork.Wave(sums: sums, firstPartial: first, firstStackSlot: partials)
        })
    }
    sums = lanes.enumerated().flatMap { lane, work in
      work.waves.flatMap { wave in
        wave.sums.nodes.enumerated().map {
          PartialSum(node: $1, buffer: lane * partials + wave.firstPartial + $0)
        }
      }
    }
  }

  /// What a lane of this rank must have room for in a step of `microbatches`.
  static func needs(microbatches: Int, layout: JobLayout, wave: Int) -> (wave: Int, partials: Int, stack: Int)
  {
    let probe = StepDivision(microbatches: microbatches, layout: layout, wave: wave, partials: 0)
    var needs = (wave: 0, partials: 0, stack: 0)
    for lane in probe.lanes {
      needs.partials = max(needs.partials, lane.waves.reduce(0) { $0 + $1.sums.nodes.count })
      for wave in lane.waves {
        needs.wave = max(needs.wave, wave.sums.run.count)
        needs.stack = max(needs.stack, wave.sums.scratchCount)
      }
    }
    return needs
  }

  private static func waves(of run: Range<Int>, wave: Int) -> [Range<Int>] {
    guard wave > 0 else { return run.isEmpty ? [] : [run] }
    return stride(from: run.lowerBound, to: run.upperBound, by: wave).map {
      $0..<min($0 + wave, run.upperBound)
    }
  }
}

/// How many lanes every rank has, and in which order ranks own microbatches.
package struct JobLayout: Sendable {
  package let rank: Int
  /// By world rank.
  package let lanes: [Int]
  /// World ranks in (node, local rank) order.
  package let order: [Int]

  package init(rank: Int, lanes: [Int], order: [Int]) {
    self.rank = rank
    self.lanes = lanes
    self.order = order
  }

  /// The layout that the ranks of a job have agreed on.
  package init(_ placement: Placement, communicator: Communicator) {
    self.init(rank: communicator.rank, lanes: placement.lanes, order: communicator.ranksInNodeOrder)
  }

  package static func alone(lanes: Int) -> JobLayout { JobLayout(rank: 0, lanes: [lanes], order: [0]) }
}
