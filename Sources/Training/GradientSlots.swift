import Models
import Tensors

/// Where one lane's leaves of the reduction tree are written: buffers for the maximal nodes of its run
/// (each a whole flat gradient) and a stack for the sums that are still to be added to them, which
/// needs room for one layer only, because a layer's leaves go up the tree as soon as it is done.
///
/// A buffer is laid out as the flat values are, without what is frozen: gradients where parameters lie, sums of batch
/// statistics where running statistics lie; the metrics follow in a chunk of their own.
final class GradientSlots: @unchecked Sendable {
  /// Floats of metrics behind the flat layout: Σ loss, number of right answers.
  static let metricsCount = 2

  private let partials: [FloatBuffer]
  private let stack: [FloatBuffer]
  private let metricsOffset: Int
  private let nodes: [NodeRanges]
  /// For each slot (partials first, then the stack) and node: where its arrays go.
  private let parameterTargets: [[[UnsafeMutablePointer<Float>]]]
  private let statisticsTargets: [[[UnsafeMutablePointer<Float>]]]

  private struct NodeRanges {
    let parameters: Range<Int>
    let statistics: Range<Int>
  }

  /// Floats of a flat gradient with its metrics, whole chunks.
  static func extent(of layout: FlatLayout) -> Int { layout.summedExtent + FlatLayout.chunk }

  /// - Parameter partials: whole flat buffers with room for metrics.
  init(network: Network, partials: [FloatBuffer], stackDepth: Int) {
    let layout = network.layout
    let nodes = network.nodes.map {
      NodeRanges(parameters: $0.parameterRange, statistics: $0.statisticsRange)
    }
    let largest = nodes.map { max($0.parameters.count, $0.statistics.count) }.max() ?? 0
    self.partials = partials
    stack = (0..<stackDepth).map { _ in FloatBuffer(count: max(largest, Self.metricsCount)) }
    metricsOffset = layout.summedExtent
    self.nodes = nodes
    let bases = partials.map { ($0.pointer, true) } + stack.map { ($0.pointer, false) }
    parameterTargets = bases.map { base, isFlat in
      zip(network.nodes, nodes).map { node, ranges in
        (node.isFrozen ? [] : node.parameters).map {
          base + $0.offset - (isFlat ? 0 : ranges.parameters.lowerBound)
        }
      }
    }
    statisticsTargets = bases.map { base, isFlat in
      zip(network.nodes, nodes).map { node, ranges in
        (node.gathersStatistics ? node.statistics : []).map {
          base + $0.offset - (isFlat ? 0 : ranges.statistics.lowerBound)
        }
      }
    }
  }

  /// Bytes of the sums that are still to be added to others: `stackDepth` layers, not models.
  var stackBytes: Int { stack.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } }

  /// What a slot holds of one operator, or of the loss.
  enum Section {
    case parameters(node: Int)
    case statistics(node: Int)
    case metrics
  }

  /// The contiguous floats that `section` fills in a slot.
  func floats(of section: Section, in slot: Int) -> UnsafeMutableBufferPointer<Float> {
    let flat = slot < partials.count
    let base = flat ? partials[slot].pointer : stack[slot - partials.count].pointer
    switch section {
    case .parameters(let node):
      let range = nodes[node].parameters
      return UnsafeMutableBufferPointer(start: flat ? base + range.lowerBound : base, count: range.count)
    case .statistics(let node):
      let range = nodes[node].statistics
      return UnsafeMutableBufferPointer(start: flat ? base + range.lowerBound : base, count: range.count)
    case .metrics:
      return UnsafeMutableBufferPointer(start: flat ? base + metricsOffset : base, count: Self.metricsCount)
    }
  }

  func parameterGradients(of node: Int, in slot: Int) -> [UnsafeMutablePointer<Float>] {
    parameterTargets[slot][node]
  }
  func batchStatistics(of node: Int, in slot: Int) -> [UnsafeMutablePointer<Float>] {
    statisticsTargets[slot][node]
  }
}
