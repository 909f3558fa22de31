import Collectives
import Models

/// Which buckets a network's operators wait for and make final.
struct BucketSchedule: Sendable {
  /// By node: the buckets that hold its parameters.
  let needed: [Range<Int>]
  /// By node: how many buckets are final when its backward pass is done.
  let finalAfter: [Int]

  init(_ network: Network, buckets: Buckets) {
    needed = network.nodes.map { buckets.buckets(of: $0.parameterRange) }
    // Nodes lie in forward order in the buffer: behind a node is what backward has finished before.
    var first = network.layout.parameterExtent
    var final: [Int] = []
    for node in network.nodes.reversed() {
      if !node.parameterRange.isEmpty { first = min(first, node.parameterRange.lowerBound) }
      final.append(buckets.final(from: first))
    }
    finalAfter = final.reversed()
  }
}

/// What a lane tells the reducer between two operators, and what it waits for.
struct LaneExchange {
  let reducer: GradientReducer
  let schedule: BucketSchedule
  let lane: Int

  /// Waits until a node's parameters are those that the last step made.
  func awaitValues(of node: Int) {
    reducer.awaitValues(schedule.needed[node], lane: lane)
    poll()
  }

  func hasValues(of node: Int) -> Bool { reducer.hasValues(schedule.needed[node]) }

  /// Waits for all of the last step. From then on nobody reads the partial sums of that step any more.
  func awaitAllValues() { reducer.awaitValues(0..<reducer.buckets.count, lane: lane) }

  /// Statistics and metrics are final.
  func lossDone() { reducer.finish(reducer.buckets.tailCount, lane: lane) }

  func backwardDone(node: Int) {
    reducer.finish(schedule.finalAfter[node], lane: lane)
    poll()
  }

  /// The lane has nothing more to compute in this step, or never had.
  func done() {
    awaitAllValues()
    reducer.finish(reducer.buckets.count, lane: lane)
    reducer.helpOut(lane: lane)
  }

  func poll() { reducer.poll(lane: lane) }
}
