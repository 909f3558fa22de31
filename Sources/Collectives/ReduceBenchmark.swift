import COpenMPI
import Tensors

/// How fast gradients are summed and handed round, beside MPI_Allreduce of the same buffer.
///
/// A round is what a step does of it, with nothing to hide behind: every rank brings a whole buffer, owners
/// add up their pieces in tree order and copy them into the values, and every rank has all of them. Rounds
/// of the two take turns, and each begins when all ranks are there and ends when the last has its result.
package struct ReduceBenchmark: Sendable {
  package let bytes: [Int]
  /// Of the buckets; 0 for automatic.
  package let bucketBytes: Int
  package let sharesMemory: Bool
  package let kernels: InstructionSet
  /// The leaves of the tree; 0 for one a rank.
  package let microbatches: Int
  /// Of the exchange (`GradientReducer.Options`).
  package let fanIn: Int
  /// For each size.
  package let seconds: Double

  package init(
    bytes: [Int], bucketBytes: Int, sharesMemory: Bool, kernels: InstructionSet, microbatches: Int = 0,
    fanIn: Int = 0, seconds: Double
  ) {
    self.bytes = bytes
    self.bucketBytes = bucketBytes
    self.sharesMemory = sharesMemory
    self.kernels = kernels
    self.microbatches = microbatches
    self.fanIn = fanIn
    self.seconds = seconds
  }

  /// What was measured of one size: medians over the rounds.
  package struct Row: Sendable {
    package let bytes: Int
    package let ranks: Int
    package let rounds: Int
    package let treeSeconds: Double
    package let allReduceSeconds: Double
    /// Partial sums that are sent for each element: as many as ranks where runs align with subtrees.
    package let partialSums: Int
    /// What each rank gave MPI to send in a round, counted where it is sent.
    package let bytesSent: [Int]

    /// What no reduction to all ranks gets by with less than, for each rank: 2 · (n − 1) / n of the buffer.
    package var bytesBound: Int { 2 * (ranks - 1) * bytes / ranks }

    /// Bytes that a reduction can't help moving through each rank's link, 2 · (n − 1) / n of the buffer, in a
    /// second: what compares any two numbers of ranks.
    package func busBandwidth(_ seconds: Double) -> Double {
      2 * Double(ranks - 1) / Double(ranks) * Double(bytes) / seconds
    }
  }

  /// Collective. Traps where a sum is wrong.
  package func run(_ communicator: Communicator) throws -> [Row] {
    try bytes.map { try measure($0, communicator) }
  }

  private func measure(_ bytes: Int, _ communicator: Communicator) throws -> Row {
    let chunk = FlatLayout.chunk
    let extent = max(1, bytes / MemoryLayout<Float>.stride / chunk) * chunk
    let size =
      bucketBytes == 0 ? Buckets.automaticBytes(extent: extent, ranks: communicator.size) : bucketBytes
    let division = WorkDivision(
      microbatches: microbatches == 0 ? communicator.size : microbatches,
      lanes: Array(repeating: 1, count: communicator.size), order: communicator.ranksInNodeOrder)
    let buckets = Buckets(
      extent: extent, tail: extent, floats: size / MemoryLayout<Float>.stride, ranks: communicator.size)
    let reducer = try GradientReducer(
      communicator, buckets: buckets, partialCount: division.rankNodes[communicator.rank].count, lanes: 1,
      kernels: kernels, options: GradientReducer.Options(sharesMemory: sharesMemory, fanIn: fanIn))
    let plan = try reducer.plan(
      for: division,
      sums: division.rankNodes[communicator.rank].enumerated().map { PartialSum(node: $1, buffer: $0) })
    let other = FloatBuffer(count: extent)
    // All that a rank brings is in the first of its sums.
    if let own = reducer.partials.first {
      for index in 0..<extent { own[index] = Float(communicator.rank + index % 1000) }
      other.pointer.update(from: own.pointer, count: extent)
    }
    let speakers = communicator.ranksInNodeOrder.filter { !division.rankRuns[$0].isEmpty }

    var (tree, allReduce): ([Double], [Double]) = ([], [])
    var total = 0.0
    repeat {
      try communicator.barrier()
      tree.append(
        try time(communicator) {
          let values = reducer.values
          reducer.begin(plan) { piece, sums, _ in
            (values.pointer + piece.lowerBound).update(from: sums + piece.lowerBound, count: piece.count)
          }
          reducer.finish(buckets.count, lane: 0)
          reducer.helpOut(lane: 0)
          try reducer.settle()
        })
      allReduce.append(try time(communicator) { try reduceByMPI(other, communicator) })
      if tree.count == 1 { check(reducer.values, other, speakers) }
      total += (tree.last ?? 0) + (allReduce.last ?? 0)
      // Sums of sums would grow for ever.
      if tree.count % 50 == 1 {
        for own in reducer.partials { own.clear() }
        other.clear()
      }
    } while try communicator.maximum(total < seconds || tree.count < 6 ? 1 : 0) == 1
    func median(_ values: [Double]) -> Double { values.dropFirst().sorted()[(values.count - 1) / 2] }
    return Row(
      bytes: extent * MemoryLayout<Float>.stride, ranks: communicator.size, rounds: tree.count - 1,
      treeSeconds: median(tree), allReduceSeconds: median(allReduce), partialSums: plan.partialCount,
      bytesSent: try communicator.allGather(integers: [reducer.bytesSent / tree.count]).map { $0[0] })
  }

  /// Until the last rank is done.
  private func time(_ communicator: Communicator, _ work: () throws -> Void) throws -> Double {
    try communicator.barrier()
    let start = monotonicSeconds()
    try work()
    let own = monotonicSeconds() - start
    return Double(try communicator.maximum(Int(own * 1e9))) * 1e-9
  }

  private func reduceByMPI(_ buffer: FloatBuffer, _ communicator: Communicator) throws {
    guard communicator.usesMPI else { return }
    try communicator.inPieces(buffer.count) { offset, count in
      try communicator.check(
        cnn_mpi_all_reduce(
          buffer.pointer + offset, count, cnn_mpi_float(), cnn_mpi_sum(), communicator.world),
        "MPI_Allreduce")
    }
  }

  private func check(_ a: FloatBuffer, _ b: FloatBuffer, _ ranks: [Int]) {
    for index in 0..<a.count {
      let expected = Float(ranks.count * (index % 1000) + ranks.reduce(0, +))
      precondition(
        a[index] == expected && b[index] == expected,
        "element \(index) expects \(expected), got \(a[index]) and \(b[index])")
    }
  }
}
