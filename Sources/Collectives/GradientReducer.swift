import CKernels
import COpenMPI
import Tensors

/// How gradients are summed across ranks.
package enum ReductionMode: Sendable {
  /// In the order of the reduction tree: the same bits on any number of ranks.
  case tree
  /// By MPI_Allreduce, in whatever order MPI likes: the negative control of tests and of `verify`.
  case allReduce
}

/// Sums flat buffers over the ranks in tree order and hands the results round.
///
/// The buffer of `extent` floats is cut into one slice a rank, on chunk borders. In a reduce-scatter
/// each rank sends the slices of its partial sums (the maximal nodes of its run) to their owners, and
/// an owner adds what arrives in tree order. After the owner's update an all-gather hands the new
/// values of each slice to every rank. What rides behind the gradients (statistics, metrics) goes the
/// same way. Nothing is allocated in a step.
package final class GradientReducer {
  package let extent: Int
  package let mode: ReductionMode
  /// The slice of each rank, by world rank; empty where there are fewer chunks than ranks.
  package let slices: [Range<Int>]
  let communicator: Communicator
  let kernels: UnsafePointer<cnn_reduction_kernels>
  /// One chunk of floats: as the unit of counts it keeps them far below 2³¹.
  private var chunkType = cnn_mpi_float()
  private let gatherCounts: [Int32]
  private let gatherOffsets: [Int32]
  /// What arrives from other ranks in a step, one slice after another; grows with the plans.
  private var arrivals: FloatBuffer
  private var requests: UnsafeMutablePointer<cnn_mpi_request>
  private var requestCapacity: Int
  private static let tag: Int32 = 2

  /// A reducer of buffers of `extent` floats, a multiple of `FlatLayout.chunk`. Collective.
  package init(
    _ communicator: Communicator, extent: Int, kernels: InstructionSet, mode: ReductionMode = .tree
  ) throws {
    precondition(
      extent > 0 && extent % FlatLayout.chunk == 0,
      "an extent expects whole chunks of \(FlatLayout.chunk), got \(extent)")
    let chunks = extent / FlatLayout.chunk
    let size = communicator.size
    precondition(chunks <= Int(Int32.max), "an extent expects less than 2³¹ chunks, got \(chunks)")
    self.communicator = communicator
    self.extent = extent
    self.mode = mode
    self.kernels = cnn_reduction_kernels_for(kernels.kernelTable)
    let borders = (0...size).map { chunks * $0 / size }
    gatherOffsets = borders.dropLast().map { Int32($0) }
    gatherCounts = (0..<size).map { Int32(borders[$0 + 1] - borders[$0]) }
    slices = (0..<size).map { (borders[$0] * FlatLayout.chunk)..<(borders[$0 + 1] * FlatLayout.chunk) }
    arrivals = FloatBuffer(count: 0)
    requestCapacity = 0
    requests = .allocate(capacity: 0)
    if communicator.usesMPI {
      try communicator.check(cnn_mpi_float_block(Int32(FlatLayout.chunk), &chunkType), "MPI_Type_contiguous")
    }
  }

  deinit { requests.deallocate() }

  /// The slice that this rank owns.
  package var slice: Range<Int> { slices[communicator.rank] }

  /// What this rank does in each step that divides its work like this. Made once for each number of
  /// microbatches; the same on all ranks.
  package func plan(for division: WorkDivision) -> ReductionPlan {
    let plan = ReductionPlan(division, slices: slices, rank: communicator.rank)
    let wanted = plan.arrivalCount * slice.count
    if mode == .tree, arrivals.count < wanted { arrivals = FloatBuffer(count: wanted) }
    let messages = plan.arrivalCount + plan.ownNodes.count * (communicator.size - 1)
    if requestCapacity < messages {
      requests.deallocate()
      requests = .allocate(capacity: messages)
      requestCapacity = messages
    }
    return plan
  }

  /// result[slice] = the sum over all microbatches of this rank's slice, in tree order. Overwrites only
  /// the slice of `result`, a buffer of the whole extent that may be one of the partials.
  ///
  /// `partials` are this rank's sums in the order of `plan.ownNodes`, each a buffer of the whole
  /// extent; their own slice is spent afterwards. (The negative control spends all of the first and
  /// overwrites all of `result`.)
  package func reduceScatter(
    _ partials: [UnsafeMutablePointer<Float>], plan: ReductionPlan, into result: UnsafeMutablePointer<Float>
  ) throws {
    precondition(
      partials.count == plan.ownNodes.count,
      "the plan expects the partial sums of \(plan.ownNodes), got \(partials.count)")
    switch mode {
    case .tree:
      let messages = try startExchange(partials, plan: plan)
      try finishExchange(messages)
      plan.add(own: partials, arrivals: arrivals.pointer, slice: slice, into: result, kernels)
    case .allReduce:
      try reduceInAnyOrder(partials, into: result)
    }
  }

  /// Fills in every other rank's slice of `values`, in place.
  package func allGather(_ values: UnsafeMutablePointer<Float>) throws {
    guard communicator.size > 1 else { return }
    try communicator.check(
      cnn_mpi_all_gather_in_place(values, gatherCounts, gatherOffsets, chunkType, communicator.world),
      "MPI_Allgatherv")
  }

  /// Posts all receives and sends of a step; how many there are.
  private func startExchange(_ partials: [UnsafeMutablePointer<Float>], plan: ReductionPlan) throws -> Int {
    let (rank, size) = (communicator.rank, communicator.size)
    var messages = 0
    for arrival in 0..<plan.arrivalCount where !slice.isEmpty {
      try communicator.check(
        cnn_mpi_start_receive(
          arrivals.pointer + arrival * slice.count, gatherCounts[rank], chunkType, plan.sources[arrival],
          Self.tag,
          communicator.world, requests + messages), "MPI_Irecv")
      messages += 1
    }
    // Each rank begins with its right neighbour, so that not all of them write to rank 0 first.
    for distance in 1..<max(1, size) {
      let target = (rank + distance) % size
      for partial in partials where gatherCounts[target] > 0 {
        try communicator.check(
          cnn_mpi_start_send(
            partial + slices[target].lowerBound, gatherCounts[target], chunkType, Int32(target), Self.tag,
            communicator.world, requests + messages), "MPI_Isend")
        messages += 1
      }
    }
    return messages
  }

  private func finishExchange(_ messages: Int) throws {
    guard messages > 0 else { return }
    try communicator.check(cnn_mpi_wait_all(Int32(messages), requests), "MPI_Waitall")
  }

  /// The negative control: this rank's partials one after another, then MPI_Allreduce.
  private func reduceInAnyOrder(
    _ partials: [UnsafeMutablePointer<Float>], into result: UnsafeMutablePointer<Float>
  ) throws {
    if let first = partials.first {
      for other in partials.dropFirst() { kernels.pointee.add(first, other, extent) }
      if first != result { result.update(from: first, count: extent) }
    } else {
      result.update(repeating: 0, count: extent)
    }
    guard communicator.size > 1 else { return }
    try communicator.inPieces(extent) { offset, count in
      try communicator.check(
        cnn_mpi_all_reduce(result + offset, count, cnn_mpi_float(), cnn_mpi_sum(), communicator.world),
        "MPI_Allreduce")
    }
  }
}
