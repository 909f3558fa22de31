import Tensors
import Testing

@Suite struct GEMMTests {
  init() { GEMM.useOneThread() }

  /// Against the definition, in double: |error| ≤ k · 2⁻²³ · Σ|a·b| for each element, rows wider than needed.
  @Test(arguments: [(1, 1, 1), (1, 7, 3), (17, 5, 33), (32, 49, 27), (64, 130, 129)], GEMMTests.operands)
  func productsAreThoseOfTheDefinition(extents: (m: Int, n: Int, k: Int), operands: OperandPair) {
    let (m, n, k) = extents
    let (aTransposed, bTransposed) = (operands.a == .transposed, operands.b == .transposed)
    let (lda, ldb, ldc) = ((aTransposed ? m : k) + 3, (bTransposed ? k : n) + 1, n + 2)
    let a = random(1, (aTransposed ? k : m) * lda)
    let b = random(2, (bTransposed ? n : k) * ldb)
    let before = random(3, m * ldc)
    for (alpha, beta): (Float, Float) in [(1, 0), (0.5, 1)] {
      let c = FloatBuffer(before.values)
      GEMM.multiply(
        operands.a, operands.b, m: m, n: n, k: k, alpha: alpha, a: a.pointer, lda: lda, b: b.pointer,
        ldb: ldb,
        beta: beta, c: c.pointer, ldc: ldc)
      var wrong: [String] = []
      for row in 0..<m {
        for column in 0..<ldc {
          var sum = 0.0
          var magnitude = 0.0
          for inner in 0..<(column < n ? k : 0) {
            let left = Double(a[aTransposed ? inner * lda + row : row * lda + inner])
            let right = Double(b[bTransposed ? column * ldb + inner : inner * ldb + column])
            sum += left * right
            magnitude += abs(left * right)
          }
          let old = Double(before[row * ldc + column])
          let expected = column < n ? Double(alpha) * sum + Double(beta) * old : old
          let bound = column < n ? Double(k + 2) * 0x1p-23 * (magnitude + abs(old)) : 0
          let got = Double(c[row * ldc + column])
          if !(abs(got - expected) <= bound) { wrong.append("(\(row), \(column)): \(got), not \(expected)") }
        }
      }
      #expect(wrong.isEmpty, "\(wrong.count) wrong, first \(wrong.first ?? "")")
    }
  }

  /// β = 0 overwrites: what was in C before, even NaN, leaves no trace.
  @Test func betaZeroOverwrites() {
    let (a, b, c) = (FloatBuffer([2]), FloatBuffer([3]), FloatBuffer([.nan]))
    GEMM.multiply(m: 1, n: 1, k: 1, a: a.pointer, lda: 1, b: b.pointer, ldb: 1, c: c.pointer, ldc: 1)
    withExtendedLifetime((a, b)) {}
    #expect(c[0] == 6)
  }

  /// Lanes multiply at the same time; each must get the bits that it gets alone.
  @Test func threadsSideBySideGetTheSameBits() {
    let (m, n, k) = (48, 200, 150)
    let a = random(1, m * k)
    let b = random(2, k * n)
    let alone = FloatBuffer(count: m * n)
    GEMM.multiply(m: m, n: n, k: k, a: a.pointer, lda: k, b: b.pointer, ldb: n, c: alone.pointer, ldc: n)
    let products = (0..<4).map { _ in FloatBuffer(count: m * n) }
    let team = ThreadTeam(count: 4)
    for _ in 0..<20 {
      for product in products { product.clear() }
      team.run { member in
        GEMM.multiply(
          m: m, n: n, k: k, a: a.pointer, lda: k, b: b.pointer, ldb: n, c: products[member].pointer, ldc: n)
      }
      for product in products { #expect(product.values == alone.values) }
    }
  }

  @Test func theBindingNamesTheKernelAndTheBuild() {
    #expect(!GEMM.kernelName.isEmpty)
    #expect(GEMM.configuration.hasPrefix("OpenBLAS "))
  }

  private func random(_ number: Int, _ count: Int) -> FloatBuffer {
    let stream = RandomStream(seed: 11, purpose: .test(number))
    return FloatBuffer((0..<count).map { 2 * stream.uniform(at: $0) - 1 })
  }

  static let operands = [
    OperandPair(a: .asIs, b: .asIs), OperandPair(a: .transposed, b: .asIs),
    OperandPair(a: .asIs, b: .transposed), OperandPair(a: .transposed, b: .transposed),
  ]
}

struct OperandPair: Sendable {
  let a: GEMM.Operand
  let b: GEMM.Operand
}
