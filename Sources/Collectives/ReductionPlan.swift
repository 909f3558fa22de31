import CKernels
import Tensors

/// One rank's part in summing a step's gradients: what it sends, what arrives and how it adds that up.
package final class ReductionPlan {
  package let division: WorkDivision
  /// The nodes whose sums this rank brings, left to right; none for a rank without microbatches.
  package let ownNodes: [Range<Int>]
  /// Partial sums of all ranks: as many as there are ranks at work where runs align with subtrees.
  package let partialCount: Int
  /// Bytes that this rank sends in a step's reduce-scatter.
  package let bytesSent: Int
  /// Partial sums that arrive from other ranks.
  let arrivalCount: Int
  /// The rank that each arrival comes from.
  let sources: [Int32]

  private let additions: [MergePlan.Addition]
  /// For each partial of the job in leaf order: its place among this rank's own, or among the arrivals.
  private let origins: [Origin]
  private let operands: UnsafeMutablePointer<UnsafeMutablePointer<Float>>

  private enum Origin {
    case own(Int)
    case arrival(Int)
  }

  init(_ division: WorkDivision, slices: [Range<Int>], rank: Int) {
    let nodes = division.rankNodes
    precondition(nodes.count == slices.count, "\(slices.count) ranks expect as many runs, got \(nodes.count)")
    var sources: [Int32] = []
    var arrivals: [Int: Int] = [:]
    for (source, nodes) in nodes.enumerated() where source != rank {
      for node in nodes {
        arrivals[node.lowerBound] = sources.count
        sources.append(Int32(source))
      }
    }
    let own = nodes[rank]
    let inLeafOrder = nodes.joined().sorted { $0.lowerBound < $1.lowerBound }
    let merge = MergePlan(tree: division.tree, partials: inLeafOrder)
    precondition(
      merge.results.map(\.node) == [division.tree.root],
      "the runs \(division.rankRuns) don't add up to \(division.tree)")
    self.division = division
    self.sources = sources
    ownNodes = own
    partialCount = inLeafOrder.count
    arrivalCount = sources.count
    bytesSent = slices.enumerated().reduce(0) { bytes, slice in
      slice.offset == rank ? bytes : bytes + own.count * slice.element.count * MemoryLayout<Float>.stride
    }
    additions = merge.additions
    origins = inLeafOrder.map { node in
      if let arrival = arrivals[node.lowerBound] { return .arrival(arrival) }
      return .own(own.firstIndex(of: node) ?? 0)
    }
    operands = .allocate(capacity: inLeafOrder.count)
  }

  deinit { operands.deallocate() }

  /// Floats that are added up at a time: a few blocks of this size stay in the first cache levels.
  private static let block = 4 * FlatLayout.chunk

  /// result[slice] = the root of the tree over all partials; see `GradientReducer.reduceScatter`.
  func add(
    own: [UnsafeMutablePointer<Float>], arrivals: UnsafeMutablePointer<Float>, slice: Range<Int>,
    into result: UnsafeMutablePointer<Float>, _ kernels: UnsafePointer<cnn_reduction_kernels>
  ) {
    for (index, origin) in origins.enumerated() {
      switch origin {
      case .own(let partial): operands[index] = own[partial] + slice.lowerBound
      case .arrival(let place): operands[index] = arrivals + place * slice.count
      }
    }
    let target = result + slice.lowerBound
    guard let last = additions.last else {
      if operands[0] != target { target.update(from: operands[0], count: slice.count) }
      return
    }
    for start in stride(from: 0, to: slice.count, by: Self.block) {
      let count = min(Self.block, slice.count - start)
      for addition in additions.dropLast() {
        kernels.pointee.add(operands[addition.target] + start, operands[addition.source] + start, count)
      }
      let (left, right) = (operands[last.target] + start, operands[last.source] + start)
      // The result may lie where a partial of this rank lies; a + b and b + a have the same bits.
      if target + start == left {
        kernels.pointee.add(left, right, count)
      } else if target + start == right {
        kernels.pointee.add(right, left, count)
      } else {
        kernels.pointee.sum(target + start, left, right, count)
      }
    }
  }
}
