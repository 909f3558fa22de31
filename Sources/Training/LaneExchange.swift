import Collectives
import Models
import Tensors

/// Which buckets a network's operators wait for and make final.
struct BucketSchedule: Sendable {
  /// By node: where its parameters begin in the flat gradient; 0 where they are frozen.
  let places: [Int]
  /// By node: the buckets that hold its parameters.
  let needed: [Range<Int>]
  /// By node: how many buckets are final when its backward pass is done.
  let finalAfter: [Int]

  init(_ network: Network, buckets: Buckets) {
    self.init(
      network.nodes.map(\.parameterRange), parameterExtent: network.layout.parameterExtent, buckets: buckets)
  }

  /// The same from where each node's parameters lie in the flat buffer.
  init(_ parameterRanges: [Range<Int>], parameterExtent: Int, buckets: Buckets) {
    places = parameterRanges.map(\.lowerBound)
    needed = parameterRanges.map { buckets.buckets(of: $0) }
    // Nodes lie in forward order in the buffer: behind a node is what backward has finished before.
    var first = parameterExtent
    var final: [Int] = []
    for range in parameterRanges.reversed() {
      if !range.isEmpty { first = min(first, range.lowerBound) }
      final.append(buckets.final(from: first))
    }
    finalAfter = final.reversed()
  }
}

/// What a lane tells the reducer between two operators, and what it waits for.
struct LaneExchange: Sendable {
  let reducer: GradientReducer
  let schedule: BucketSchedule
  let lane: Int
  /// Where the time goes that this takes of the lane.
  let track: Track
  /// Of this step; nil where sums keep all their bits.
  let rounding: NodeRounding?

  /// Waits until a node's parameters are those that the last step made.
  func awaitValues(of node: Int) {
    track.measure(.gather) { reducer.awaitValues(schedule.needed[node], lane: lane) }
    poll()
  }

  func hasValues(of node: Int) -> Bool { reducer.hasValues(schedule.needed[node]) }

  /// Waits for all of the last step. From then on nobody reads the partial sums of that step any more.
  func awaitAllValues() {
    track.measure(.gather) { reducer.awaitLastTurn(lane: lane) }
  }

  /// Statistics and metrics are final.
  func lossDone() { reducer.finish(reducer.buckets.tailCount, lane: lane) }

  func backwardDone(node: Int) {
    reducer.finish(schedule.finalAfter[node], lane: lane)
    poll()
  }

  /// The lane has nothing to compute in this step: nobody has to wait for it before it is `done`.
  func idle() {
    awaitAllValues()
    reducer.finish(reducer.buckets.count, lane: lane)
  }

  /// The lane has nothing more to compute in this step, or never had.
  func done() {
    track.measure(.finish) {
      reducer.awaitLastTurn(lane: lane)
      reducer.finish(reducer.buckets.count, lane: lane)
      reducer.helpOut(lane: lane)
    }
  }

  /// Whether leaves and sums of gradients are rounded, each by itself.
  var rounds: Bool { rounding != nil }

  /// Rounds a leaf, where gradients are rounded.
  func round(
    _ leaf: UnsafeMutableBufferPointer<Float>, of section: GradientSlots.Section, node: Range<Int>
  ) {
    guard let rounding, case .parameters(let layer) = section else { return }
    rounding.round(leaf.baseAddress, count: leaf.count, node: node, place: schedule.places[layer])
  }

  /// sum += term, rounded to `node`; false where nothing is rounded, and nothing is done.
  func addRounded(
    _ sum: UnsafeMutableBufferPointer<Float>, _ term: UnsafeMutableBufferPointer<Float>,
    of section: GradientSlots.Section, node: Range<Int>
  ) -> Bool {
    guard let rounding, case .parameters(let layer) = section else { return false }
    rounding.add(
      sum.baseAddress, term.baseAddress, count: sum.count, node: node, place: schedule.places[layer])
    return true
  }

  func poll() {
    track.measure(.reduce, where: { $0 }) { reducer.poll(lane: lane) }
  }
}
