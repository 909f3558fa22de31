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

  /// Reduces and gathers with `division`; the result lies in one of this rank's partials or apart.
  private func check(
    _ reducer: GradientReducer, _ division: WorkDivision, of leaves: [[Float]], intoPartial place: Int?,
    _ expected: [Float], line: UInt = #line
  ) throws {
    let plan = reducer.plan(for: division)
    let partials = plan.ownNodes.map { FloatBuffer(treeSum($0, in: division.tree, of: leaves)) }
    let inPlace = place.flatMap { partials.isEmpty ? nil : partials[$0 % partials.count] }
    let result = inPlace ?? FloatBuffer(Array(repeating: -1, count: reducer.extent))
    let what = "\(division.rankRuns), result in partial \(place.map(String.init) ?? "none")"
    try withExtendedLifetime(partials) {
      try reducer.reduceScatter(partials.map(\.pointer), plan: plan, into: result.pointer)
    }
    let slice = reducer.slice
    XCTAssert(sameBits(result.values[slice], expected[slice]), what, line: line)
    if inPlace == nil {
      var untouched = Array(repeating: Float(-1), count: reducer.extent)
      untouched.replaceSubrange(slice, with: expected[slice])
      XCTAssert(sameBits(result.values[...], untouched[...]), "wrote outside its slice: \(what)", line: line)
    }
    try withExtendedLifetime(result) { try reducer.allGather(result.pointer) }
    XCTAssert(sameBits(result.values[...], expected[...]), "all-gather: \(what)", line: line)
  }

  func testAnyDivisionGivesTheBitsOfTheTree() throws {
    let reducer = try GradientReducer(job, extent: extent, kernels: .detected)
    let all = gradients(19, extent: extent)
    for microbatches in [1, 2, 3, 4, 5, 7, 8, 9, 16, 19] {
      let leaves = Array(all.prefix(microbatches))
      let expected = treeSum(0..<microbatches, in: ReductionTree(leaves: microbatches), of: leaves)
      for (lanes, reversed) in [([1], false), ([2, 1], false), ([1, 3, 1, 2], true), ([5, 1], true)] {
        let order = Array(0..<job.size)
        let division = WorkDivision(
          microbatches: microbatches, lanes: order.map { lanes[$0 % lanes.count] },
          order: reversed ? order.reversed() : order)
        for place in [nil, 0, 1] { try check(reducer, division, of: leaves, intoPartial: place, expected) }
      }
    }
  }

  func testEveryInstructionSetGivesTheSameBits() throws {
    let leaves = gradients(7, extent: extent)
    let division = WorkDivision(
      microbatches: 7, lanes: Array(repeating: 1, count: job.size), order: Array(0..<job.size))
    let expected = treeSum(0..<7, in: division.tree, of: leaves)
    for isa in InstructionSet.allCases where isa <= .detected {
      let reducer = try GradientReducer(job, extent: extent, kernels: isa)
      try check(reducer, division, of: leaves, intoPartial: nil, expected)
    }
  }

  func testRanksWithoutMicrobatchesStillOwnTheirSlice() throws {
    let reducer = try GradientReducer(job, extent: extent, kernels: .detected)
    let leaves = [gradient(of: 0, extent: extent)]
    let division = WorkDivision(
      microbatches: 1, lanes: Array(repeating: 1, count: job.size), order: Array(0..<job.size))
    XCTAssertEqual(division.idleRanks, job.size - 1)
    let plan = reducer.plan(for: division)
    XCTAssertEqual(plan.partialCount, 1)
    // Rank 0 sends everything but its own slice, the others nothing.
    XCTAssertEqual(plan.bytesSent, job.rank == 0 ? 4 * (extent - reducer.slice.count) : 0)
    try check(reducer, division, of: leaves, intoPartial: nil, leaves[0])
  }

  func testFewerChunksThanRanks() throws {
    let reducer = try GradientReducer(job, extent: FlatLayout.chunk, kernels: .detected)
    XCTAssertEqual(reducer.slices.count { !$0.isEmpty }, 1)
    let leaves = gradients(6, extent: FlatLayout.chunk)
    let division = WorkDivision(
      microbatches: 6, lanes: Array(repeating: 1, count: job.size), order: Array(0..<job.size))
    let expected = treeSum(0..<6, in: division.tree, of: leaves)
    try check(reducer, division, of: leaves, intoPartial: nil, expected)
    try check(reducer, division, of: leaves, intoPartial: 0, expected)
  }

  func testSlicesCoverTheBufferOnChunkBorders() throws {
    let reducer = try GradientReducer(job, extent: extent, kernels: .detected)
    XCTAssertEqual(reducer.slices.flatMap(Array.init), Array(0..<extent))
    XCTAssert(reducer.slices.allSatisfy { $0.lowerBound % FlatLayout.chunk == 0 })
    let counts = reducer.slices.map { $0.count / FlatLayout.chunk }
    XCTAssertLessThanOrEqual((counts.max() ?? 0) - (counts.min() ?? 0), 1)
  }

  /// Three ranks cut 8 leaves where no subtree ends: sums by rank take other bits than the tree.
  func testAllReduceIsTheNegativeControl() throws {
    let division = WorkDivision(
      microbatches: 8, lanes: Array(repeating: 1, count: job.size), order: Array(0..<job.size))
    let leaves = gradients(8, extent: extent)
    let expected = treeSum(0..<8, in: division.tree, of: leaves)
    let reducer = try GradientReducer(
      job.limited(to: 3000), extent: extent, kernels: .detected, mode: .allReduce)
    let plan = reducer.plan(for: division)
    let partials = plan.ownNodes.map { FloatBuffer(treeSum($0, in: division.tree, of: leaves)) }
    let result = FloatBuffer(count: extent)
    try withExtendedLifetime(partials) {
      try reducer.reduceScatter(partials.map(\.pointer), plan: plan, into: result.pointer)
    }
    let errors = zip(result.values, expected).map { abs($0 - $1) }
    XCTAssertLessThan(errors.max() ?? .infinity, 1e-3)
    if job.size == 1 { XCTAssert(sameBits(result.values[...], expected[...])) }
    if job.size == 3 { XCTAssertFalse(sameBits(result.values[...], expected[...])) }
  }
}
