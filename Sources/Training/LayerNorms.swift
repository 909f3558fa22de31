import Collectives
import Tensors

/// Norms of layers over the flat buffers, with the same bits on any number of ranks and lanes.
///
/// An array is cut where chunks end. Each of these segments lies in one slice, so its owner sums its
/// squares, in double; the owners' sums reach every rank, and every rank adds them in the same order.
final class LayerNorms: @unchecked Sendable {
  struct Segment: Sendable {
    /// Which of `layout.parameters` it is a part of.
    let array: Int
    let range: Range<Int>
  }

  /// What is measured of each segment: two sums of squares.
  enum Quantity: Int, CaseIterable { case weights, movement }

  let layout: FlatLayout
  /// All segments of the parameters, in the order of the layout.
  let segments: [Segment]
  /// By lane: which segments it measures.
  private let own: [[Int]]
  private let communicator: Communicator
  /// Sums by quantity and segment. A lane writes those of its own segments.
  private let sums: UnsafeMutableBufferPointer<Double>

  /// - Parameter slices: what this rank owns of the flat buffers, its lanes share out.
  init(layout: FlatLayout, slices: [Range<Int>], lanes: Int, communicator: Communicator) {
    self.layout = layout
    self.communicator = communicator
    let segments = layout.parameters.enumerated().flatMap { index, parameter in
      Self.cut(parameter.range).map { Segment(array: index, range: $0) }
    }
    self.segments = segments
    let owned = segments.indices.filter { index in
      slices.contains { $0.contains(segments[index].range.lowerBound) }
    }
    own = (0..<lanes).map { lane in
      Array(owned[(owned.count * lane / lanes)..<(owned.count * (lane + 1) / lanes)])
    }
    sums = .allocate(capacity: Quantity.allCases.count * segments.count)
  }

  deinit { sums.deallocate() }

  /// A range in parts that end where chunks end.
  private static func cut(_ range: Range<Int>) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var start = range.lowerBound
    while start < range.upperBound {
      let end = min((start / FlatLayout.chunk + 1) * FlatLayout.chunk, range.upperBound)
      parts.append(start..<end)
      start = end
    }
    return parts
  }

  /// Measures every segment on the lane that owns it, and hands the sums round. Collective.
  func measure(
    on team: ThreadTeam, _ squares: @escaping @Sendable (Segment) -> (weights: Double, movement: Double)
  ) throws {
    sums.update(repeating: 0)
    team.run { [self] lane in
      for index in own[lane] {
        (sums[index], sums[segments.count + index]) = squares(segments[index])
      }
    }
    try communicator.joinOwnersWords(UnsafeMutableRawBufferPointer(sums))
  }

  /// ‖x‖² of each of `layout.parameters`.
  func squares(of quantity: Quantity) -> [Double] {
    var totals = Array(repeating: 0.0, count: layout.parameters.count)
    for (index, segment) in segments.enumerated() {
      totals[segment.array] += sums[quantity.rawValue * segments.count + index]
    }
    return totals
  }
}
