import CKernels
import Collectives
import Tensors
import XCTest

/// The sum over ranks has the bits of the tree's definition, whoever computes which microbatch.
final class ReductionTests: XCTestCase {
  private let job = Job.communicator
  /// Not a multiple of the number of ranks in chunks, nor of the block in which sums are made.
  private let extent = 11 * FlatLayout.chunk

  /// The gradient of microbatch `leaf`: numbers of widely different size.
  private func gradient(of leaf: Int, extent: Int) -> [Float] {
    let stream = RandomStream(seed: 7, purpose: .test(3), position: leaf)
    return (0..<extent).map { index in
      let word = stream.word(at: index)
      let sign: Float = word & 1 == 0 ? 1 : -1
      return sign * (1 + Float(word >> 9) * 0x1p-23)
        * Float(sign: .plus, exponent: Int(word >> 1 & 7), significand: 1)
    }
  }

  /// The gradients of microbatches 0 ..< count.
  private func gradients(_ count: Int, extent: Int) -> [[Float]] {
    (0..<count).map { gradient(of: $0, extent: extent) }
  }

  /// The sum by the definition of the tree, in a single process.
  private func treeSum(_ node: Range<Int>, in tree: ReductionTree, of leaves: [[Float]]) -> [Float] {
    guard let (left, right) = tree.children(of: node) else { return leaves[node.lowerBound] }
    var (sum, other) = (treeSum(left, in: tree, of: leaves), treeSum(right, in: tree, of: leaves))
    cnn_reduction_kernels_for(CNN_ISA_REF).pointee.add(&sum, &other, sum.count)
    return sum
  }

  /// Whether all bits are equal; fast in debug builds too.
  private func sameBits(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Bool {
    a.withUnsafeBytes { a in
      b.withUnsafeBytes { b in
        guard let first = a.baseAddress, let second = b.baseAddress else { return a.count == b.count }
        return a.count == b.count && memcmp(first, second, a.count) == 0
      }
    }
  }

  private func reducer(
    _ communicator: Communicator, extent: Int? = nil, tail: Int? = nil, bucket: Int = 3 * FlatLayout.chunk,
    partials: Int = 8, kernels: InstructionSet = .detected, options: GradientReducer.Options = .init()
  ) throws -> GradientReducer {
    let extent = extent ?? self.extent
    let buckets = Buckets(
      extent: extent, tail: tail ?? extent - 2 * FlatLayout.chunk, floats: bucket, ranks: communicator.size)
    return try GradientReducer(
      communicator, buckets: buckets, partialCount: partials, lanes: 1, kernels: kernels, options: options)
  }

  /// Two turns of one lane a rank: the sums of `leaves`, and of the same leaves in another order, become the
  /// values. Every rank must have all of them.
  private func check(
    _ reducer: GradientReducer, _ division: WorkDivision, of leaves: [[Float]], _ what: String = "",
    line: UInt = #line
  ) throws {
    let tree = division.tree
    let own = tree.maximalNodes(in: division.rankRuns[job.rank])
    let plan = try reducer.plan(
      for: division, sums: own.enumerated().map { PartialSum(node: $1, buffer: $0) })
    for leaves in [leaves, leaves.reversed()] {
      let expected = treeSum(tree.root, in: tree, of: leaves)
      for (number, node) in own.enumerated() {
        reducer.partials[number].pointer.update(
          from: treeSum(node, in: tree, of: leaves), count: reducer.buckets.extent)
      }
      let values = reducer.values
      reducer.begin(plan) { piece, sums, _ in
        (values.pointer + piece.lowerBound).update(from: sums + piece.lowerBound, count: piece.count)
      }
      reducer.poll(lane: 0)
      for count in [1, reducer.buckets.count / 2, reducer.buckets.count] { reducer.finish(count, lane: 0) }
      reducer.helpOut(lane: 0)
      if reducer.options.updatesTogether {
        try reducer.awaitSums()
        let sums = reducer.sums
        for piece in reducer.pieces where !piece.isEmpty {
          XCTAssert(
            sameBits(
              Array(UnsafeBufferPointer(start: sums + piece.lowerBound, count: piece.count))[...],
              expected[piece]),
            "sums: \(what)", line: line)
        }
        XCTAssertFalse(sameBits(values.values[...], expected[...]), "updated too early: \(what)", line: line)
        try job.barrier()
        reducer.release()
      }
      try reducer.awaitTail()
      let tail = (expected.count - FlatLayout.chunk)..<expected.count
      XCTAssert(sameBits(values.values[tail], expected[tail]), "tail: \(what)", line: line)
      try reducer.settle()
      XCTAssert(sameBits(values.values[...], expected[...]), "\(division.rankRuns), \(what)", line: line)
      // Nobody begins to overwrite the values while another still compares them.
      try job.barrier()
    }
  }

  private func division(_ microbatches: Int, lanes: [Int] = [1], reversed: Bool = false) -> WorkDivision {
    let order = job.ranksInNodeOrder
    return WorkDivision(
      microbatches: microbatches, lanes: order.map { lanes[$0 % lanes.count] },
      order: reversed ? order.reversed() : order)
  }

  func testAnyDivisionGivesTheBitsOfTheTree() throws {
    let all = gradients(19, extent: extent)
    for sharesMemory in [true, false] {
      let reducer = try reducer(job, options: .init(sharesMemory: sharesMemory))
      XCTAssertEqual(reducer.groupCount, sharesMemory ? job.nodeCount : job.size)
      XCTAssertNil(reducer.notice)
      for microbatches in [1, 2, 3, 4, 5, 7, 8, 9, 16, 19] {
        let leaves = Array(all.prefix(microbatches))
        for (lanes, reversed) in [([1], false), ([2, 1], false), ([1, 3, 1, 2], true), ([5, 1], true)] {
          try check(
            reducer, division(microbatches, lanes: lanes, reversed: reversed), of: leaves,
            "shared memory: \(sharesMemory)")
        }
      }
    }
  }

  /// Ranks of two or three nodes, in blocks and in turn: the division goes by nodes, so the bits stay.
  func testRanksOnSeveralNodesGiveTheBitsOfTheTree() throws {
    let leaves = gradients(13, extent: extent)
    for nodes in [
      (0..<job.size).map { $0 % 2 }, (0..<job.size).map { $0 / 2 }, (0..<job.size).map { min($0, 1) },
    ] {
      let places = job.pretending(nodes: nodes)
      let reducer = try reducer(places)
      XCTAssertEqual(reducer.groupCount, Set(nodes).count)
      for microbatches in [1, 2, 5, 8, 13] {
        let division = WorkDivision(
          microbatches: microbatches, lanes: nodes.map { 1 + $0 }, order: places.ranksInNodeOrder)
        try check(reducer, division, of: Array(leaves.prefix(microbatches)), "nodes \(nodes)")
      }
    }
  }

  /// Where runs align with subtrees all ranks together send what no reduction can do without, 2 · (n − 1) / n of
  /// the buffer each; further nodes of a run are further sums of others' pieces. Shared memory sends nothing.
  func testBytesSentAreWhatAReductionCannotDoWithout() throws {
    let n = job.size
    for (microbatches, sharesMemory) in [(n, false), (2 * n, false), (7, false), (n, true)] {
      let reducer = try reducer(job, options: .init(sharesMemory: sharesMemory))
      let division = division(microbatches)
      try check(reducer, division, of: gradients(microbatches, extent: extent))
      // `check` takes two turns.
      let (own, all) = (reducer.bytesSent / 2, try job.sum(reducer.bytesSent) / 2)
      let sums = division.rankNodes[job.rank].enumerated().map { PartialSum(node: $1, buffer: $0) }
      XCTAssertEqual(own, try reducer.plan(for: division, sums: sums).bytesSent)
      guard !sharesMemory else {
        if job.nodeCount == 1 { XCTAssertEqual(all, 0) }
        continue
      }
      let floats = (0..<n).map { rank in
        let others = extent - reducer.buckets.pieces(of: rank).reduce(0) { $0 + $1.count }
        return division.rankNodes[rank].count * others
      }
      XCTAssertEqual(all, 4 * (floats.reduce(0, +) + (n - 1) * extent), "\(division.rankRuns)")
      if microbatches == n { XCTAssertEqual(all, 2 * (n - 1) * 4 * extent) }
    }
  }

  func testTheSizeOfBucketsAndMessagesChangesNoBit() throws {
    let leaves = gradients(7, extent: extent)
    for chunks in [1, 2, 4, 100] {
      for (sharesMemory, limit) in [(true, 1 << 20), (false, 1 << 20), (false, 700)] {
        let reducer = try reducer(
          job.limited(to: limit), bucket: chunks * FlatLayout.chunk,
          options: .init(sharesMemory: sharesMemory))
        try check(
          reducer, division(7), of: leaves, "\(chunks) chunks, messages of \(limit), shared: \(sharesMemory)")
      }
    }
  }

  func testEveryInstructionSetGivesTheSameBits() throws {
    let leaves = gradients(7, extent: extent)
    for isa in InstructionSet.allCases where isa <= .detected {
      try check(try reducer(job, kernels: isa), division(7), of: leaves, "\(isa)")
    }
  }

  func testUpdatesCanWaitForAllSums() throws {
    let leaves = gradients(9, extent: extent)
    for sharesMemory in [true, false] {
      let options = GradientReducer.Options(updatesTogether: true, sharesMemory: sharesMemory)
      try check(try reducer(job, options: options), division(9), of: leaves, "shared: \(sharesMemory)")
    }
  }

  func testRanksWithoutMicrobatchesStillOwnTheirPieces() throws {
    let division = division(1)
    XCTAssertEqual(division.idleRanks, job.size - 1)
    for sharesMemory in [true, false] {
      let reducer = try reducer(job, options: .init(sharesMemory: sharesMemory))
      let busy = division.rankRuns[job.rank].isEmpty ? 0 : 1
      let plan = try reducer.plan(
        for: division, sums: busy == 0 ? [] : [PartialSum(node: 0..<1, buffer: 0)])
      XCTAssertEqual(plan.partialCount, 1)
      let owned = reducer.pieces.reduce(0) { $0 + $1.count }
      // The busy rank sends what others own, and every rank its new values to all others.
      let sent = busy * (extent - owned) + owned * (job.size - 1)
      XCTAssertEqual(plan.bytesSent, sharesMemory && job.nodeCount == 1 ? 0 : 4 * sent)
      try check(reducer, division, of: [gradient(of: 0, extent: extent)], "shared: \(sharesMemory)")
    }
  }

  /// Added up by stages, on ranks and on nodes of several: other ways, the same additions.
  func testSumsByStagesHaveTheBitsOfTheTree() throws {
    let all = gradients(19, extent: extent)
    for fanIn in [2, 4] {
      let options = GradientReducer.Options(sharesMemory: false, fanIn: fanIn)
      let reducer = try reducer(job, options: options)
      for microbatches in [1, 2, 3, 5, 8, 13, 19] {
        for (lanes, reversed) in [([1], false), ([1, 3, 1, 2], true)] {
          let division = division(microbatches, lanes: lanes, reversed: reversed)
          try check(reducer, division, of: Array(all.prefix(microbatches)), "fan-in \(fanIn)")
        }
      }
      for nodes in [
        (0..<job.size).map { $0 % 2 }, (0..<job.size).map { $0 / 2 }, (0..<job.size).map { min($0, 1) },
      ] {
        let places = job.pretending(nodes: nodes)
        let reducer = try self.reducer(places, options: .init(fanIn: fanIn))
        for microbatches in [1, 5, 8] {
          let division = WorkDivision(
            microbatches: microbatches, lanes: nodes.map { 1 + $0 }, order: places.ranksInNodeOrder)
          try check(reducer, division, of: Array(all.prefix(microbatches)), "fan-in \(fanIn), nodes \(nodes)")
        }
      }
      try check(
        try self.reducer(job, options: .init(updatesTogether: true, sharesMemory: false, fanIn: fanIn)),
        division(9),
        of: Array(all.prefix(9)), "fan-in \(fanIn), updates together")
      // Fewer buckets than there is room for, and pieces that are empty.
      try check(
        try self.reducer(job, extent: FlatLayout.chunk, tail: 0, options: options), division(6),
        of: gradients(6, extent: FlatLayout.chunk), "fan-in \(fanIn), one chunk")
    }
  }

  /// The same bytes as at once where runs are subtrees, in log₂ n messages of sums.
  func testStagesSendNoMoreBytes() throws {
    for (microbatches, fanIn) in [(job.size, 2), (2 * job.size, 2), (7, 2), (7, 4)] {
      let reducer = try reducer(job, options: .init(sharesMemory: false, fanIn: fanIn))
      let division = division(microbatches)
      try check(reducer, division, of: gradients(microbatches, extent: extent))
      let sums = division.rankNodes[job.rank].enumerated().map { PartialSum(node: $1, buffer: $0) }
      XCTAssertEqual(reducer.bytesSent / 2, try reducer.plan(for: division, sums: sums).bytesSent)
      let all = try job.sum(reducer.bytesSent) / 2
      if microbatches == job.size { XCTAssertEqual(all, 2 * (job.size - 1) * 4 * extent) }
    }
  }

  func testFewerChunksThanRanks() throws {
    let leaves = gradients(6, extent: FlatLayout.chunk)
    for sharesMemory in [true, false] {
      let reducer = try reducer(
        job, extent: FlatLayout.chunk, tail: 0, options: .init(sharesMemory: sharesMemory))
      let owners = try job.sum(reducer.pieces.count { !$0.isEmpty })
      XCTAssertEqual(owners, 1)
      try check(reducer, division(6), of: leaves, "shared: \(sharesMemory)")
    }
  }

  /// The benchmark checks its own sums; at odd sizes it measures whole chunks.
  func testTheBenchmarkMeasuresEverySize() throws {
    for sharesMemory in [true, false] {
      let rows = try ReduceBenchmark(
        bytes: [1, 100_000, 1 << 18], bucketBytes: 1 << 16, sharesMemory: sharesMemory, kernels: .detected,
        seconds: 0.01
      ).run(job)
      XCTAssertEqual(rows.map(\.bytes), [4096, 98304, 1 << 18])
      for row in rows {
        XCTAssertEqual(row.ranks, job.size)
        XCTAssertGreaterThanOrEqual(row.rounds, 5)
        XCTAssertGreaterThan(row.treeSeconds, 0)
        XCTAssertEqual(
          row.busBandwidth(2), Double(row.bytes) * Double(job.size - 1) / Double(job.size), accuracy: 1e-6)
      }
    }
  }

  /// Three ranks cut 8 leaves where no subtree ends: sums by rank take other bits than the tree.
  func testAllReduceIsTheNegativeControl() throws {
    let division = division(8)
    let leaves = gradients(8, extent: extent)
    let expected = treeSum(0..<8, in: division.tree, of: leaves)
    for sharesMemory in [true, false] {
      let reducer = try reducer(
        job.limited(to: 3000), options: .init(mode: .allReduce, sharesMemory: sharesMemory))
      let own = division.tree.maximalNodes(in: division.rankRuns[job.rank])
      let plan = try reducer.plan(
        for: division, sums: own.enumerated().map { PartialSum(node: $1, buffer: $0) })
      for (number, node) in own.enumerated() {
        reducer.partials[number].pointer.update(
          from: treeSum(node, in: division.tree, of: leaves), count: extent)
      }
      let values = reducer.values
      reducer.begin(plan) { piece, sums, _ in
        (values.pointer + piece.lowerBound).update(from: sums + piece.lowerBound, count: piece.count)
      }
      reducer.finish(reducer.buckets.count, lane: 0)
      reducer.helpOut(lane: 0)
      try reducer.reduceInAnyOrder()
      try reducer.settle()
      let errors = zip(values.values, expected).map { abs($0 - $1) }
      XCTAssertLessThan(errors.max() ?? .infinity, 1e-3)
      if job.size == 1 { XCTAssert(sameBits(values.values[...], expected[...])) }
      if job.size == 3 { XCTAssertFalse(sameBits(values.values[...], expected[...])) }
      try job.barrier()
    }
  }
}
