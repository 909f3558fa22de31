import CKernels
import Collectives
import Tensors
import Testing

@Suite struct NodeRoundingTests {
  private static let isas = InstructionSet.allCases.filter { $0 <= .detected }

  private func rounded(
    _ values: [Float], seed: UInt64 = 3, step: Int = 5, node: Range<Int> = 4..<6, place: Int = 1024,
    kernels: InstructionSet = .detected
  ) -> [Float] {
    let buffer = FloatBuffer(values)
    NodeRounding(seed: seed, step: step, kernels: kernels).round(
      buffer.pointer, count: values.count, node: node, place: place)
    return buffer.values
  }

  /// The two bf16 numbers around x.
  private func neighbours(_ x: Float) -> (below: Float, above: Float) {
    let below = Float(bitPattern: x.bitPattern & 0xFFFF_0000)
    return (below, below == x ? x : Float(bitPattern: below.bitPattern + 0x10000))
  }

  @Test func goesToOneOfTheTwoNeighbours() {
    let values = testLeaves(5000, seed: 1)
    var moved = (down: 0, up: 0)
    for (x, y) in zip(values, rounded(values)) {
      let (below, above) = neighbours(x)
      #expect(y == below || y == above)
      if y == below { moved.down += 1 } else { moved.up += 1 }
    }
    #expect(moved.down > 2000 && moved.up > 2000)
  }

  @Test func isRightOnAverage() {
    // 1 + 3/16 of the way to the next number, 2⁻⁷ away.
    let x = 1 + Float(3.0 / 16) / 128
    let count = 200_000
    for (node, step) in [(0..<1, 0), (4..<6, 5)] {
      let ups = rounded(Array(repeating: x, count: count), step: step, node: node).count { $0 > x }
      // Four deviations of a binomial count.
      let deviation = (Double(count) * 3 / 16 * 13 / 16).squareRoot()
      #expect(abs(Double(ups) - Double(count) * 3 / 16) < 4 * deviation)
    }
  }

  @Test func whatIsBF16AlreadyStays() {
    let exact: [Float] = [0, -0, 1, -2, 0.5, 3, .infinity, -.infinity, 0x1p-120]
    #expect(rounded(exact).map(\.bitPattern) == exact.map(\.bitPattern))
    let nans = [Float.nan, Float(bitPattern: 0x7F80_0001), Float(bitPattern: 0xFFFF_FFFF)]
    #expect(rounded(nans).allSatisfy { $0.isNaN && $0.bitPattern & 0xFFFF == 0 })
  }

  /// What is addressed does not depend on who rounds how much at a time.
  @Test func partsAndInstructionSetsChangeNoBit() {
    let values = testLeaves(3000, seed: 2)
    let whole = rounded(values, kernels: .ref).map(\.bitPattern)
    for kernels in Self.isas {
      #expect(rounded(values, kernels: kernels).map(\.bitPattern) == whole, "\(kernels)")
      for cut in [16, 128, 1024, 2000] {
        let parts =
          rounded(Array(values[..<cut]), kernels: kernels)
          + rounded(Array(values[cut...]), place: 1024 + cut, kernels: kernels)
        #expect(parts.map(\.bitPattern) == whole, "\(kernels), cut at \(cut)")
      }
    }
  }

  @Test func everythingThatAddressesMatters() {
    let values = testLeaves(256, seed: 3)
    let base = rounded(values)
    #expect(rounded(values, seed: 4) != base)
    #expect(rounded(values, step: 6) != base)
    #expect(rounded(values, node: 4..<7) != base)
    #expect(rounded(values, node: 5..<6) != base)
    #expect(rounded(values, place: 2048) != base)
  }

  @Test func additionRoundsTheSumAndCommutes() {
    let (a, b) = (testLeaves(1000, seed: 4), testLeaves(1000, seed: 5))
    let expected = rounded(zip(a, b).map { $0 + $1 }).map(\.bitPattern)
    for kernels in Self.isas {
      for (first, second) in [(a, b), (b, a)] {
        let (sum, term) = (FloatBuffer(first), FloatBuffer(second))
        NodeRounding(seed: 3, step: 5, kernels: kernels).add(
          sum.pointer, term.pointer, count: 1000, node: 4..<6, place: 1024)
        #expect(sum.values.map(\.bitPattern) == expected, "\(kernels)")
      }
    }
  }

  @Test func packingKeepsBF16Numbers() {
    let values = rounded(testLeaves(1003, seed: 6))
    for kernels in Self.isas {
      let table = cnn_rounding_kernels_for(kernels.kernelTable).pointee
      var packed = Array(repeating: UInt16(0), count: 1003)
      var back = Array(repeating: Float(0), count: 1003)
      table.pack(&packed, values, 1003)
      table.unpack(&back, packed, 1003)
      #expect(back.map(\.bitPattern) == values.map(\.bitPattern))
    }
  }
}
