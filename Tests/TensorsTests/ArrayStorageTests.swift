import Tensors
import Testing

@Suite struct ArrayStorageTests {
  /// Weights and their taps: panels that are full, half full, short of both, a linear layer that reads
  /// (C, H, W), grouped weights.
  private static let cases: [(shape: Shape, taps: Int)] = [
    ([1, 1, 1, 1], 1), ([5, 3, 3, 3], 9), ([16, 4, 3, 2], 6), ([17, 2, 5, 5], 25), ([32, 1, 1, 1], 1),
    ([40, 3, 1, 2], 2), ([48, 7, 3, 3], 9), ([63, 2, 1, 1], 1), ([70, 24], 6), ([10, 200], 1),
    ([33, 2, 7, 1], 7),
  ]

  private func numbers(_ count: Int) -> [Float] { (0..<count).map { Float($0 + 1) } }

  @Test func whatIsPackedComesBack() {
    for (shape, taps) in Self.cases {
      let storage = ArrayStorage.panels(taps: taps)
      let values = numbers(shape.count)
      let packed = FloatBuffer(Array(repeating: .nan, count: storage.count(of: shape)))
      storage.pack(values, shape, into: packed.pointer)
      #expect(storage.unpack(packed.pointer, shape) == values, "\(shape)")
      // Nothing twice, and zeros elsewhere.
      #expect(packed.values.filter { $0 != 0 }.sorted() == values, "\(shape)")
      #expect(packed.count == (shape[0] + 15) / 16 * 16 * (shape.count / shape[0]), "\(shape)")
    }
  }

  /// [O/32][taps][I][32], as convolution.h says.
  @Test func panelsLieAsTheKernelsReadThem() {
    let (o, i, kh, kw) = (40, 3, 2, 2)
    let storage = ArrayStorage.panels(taps: kh * kw)
    let values = numbers(o * i * kh * kw)
    let packed = FloatBuffer(count: storage.count(of: [o, i, kh, kw]))
    storage.pack(values, [o, i, kh, kw], into: packed.pointer)
    func plain(_ out: Int, _ input: Int, _ tap: Int) -> Float { values[(out * i + input) * kh * kw + tap] }
    #expect(packed[0] == plain(0, 0, 0) && packed[31] == plain(31, 0, 0))
    #expect(packed[32] == plain(0, 1, 0) && packed[3 * 32] == plain(0, 0, 1))
    #expect(packed[(2 * 3 + 1) * 32 + 5] == plain(5, 1, 2))
    // The last panel is 16 wide, and half of it empty.
    let last = 32 * 12
    #expect(packed[last] == plain(32, 0, 0) && packed[last + 7] == plain(39, 0, 0) && packed[last + 8] == 0)
    #expect(packed[last + (3 * 3 + 2) * 16 + 1] == plain(33, 2, 3))
    #expect(packed.count == last + 12 * 16)
  }

  @Test func plainArraysStayAsTheyAre() {
    let values = numbers(7)
    let stored = FloatBuffer(count: 7)
    ArrayStorage.plain.pack(values, [7], into: stored.pointer)
    #expect(stored.values == values && ArrayStorage.plain.unpack(stored.pointer, [7]) == values)
    #expect(ArrayStorage.plain.count(of: [7]) == 7)
  }

  @Test func aLayoutGivesPanelsTheRoomThatTheyTake() {
    let layout = FlatLayout(
      parameters: [.init("w", [5, 2, 3, 3], .weight, .panels(taps: 9)), .init("b", [5], .bias)],
      statistics: [])
    #expect(layout.parameters.map(\.range) == [0..<288, 288..<293])
    #expect(layout.parameterCount == 95)
    let flat = FloatBuffer(count: layout.extent)
    layout.parameters[0].fill(flat.pointer, with: numbers(90))
    layout.parameters[1].fill(flat.pointer, with: numbers(5))
    #expect(layout.parameters[0].array(in: flat.pointer) == numbers(90))
    #expect(flat[288] == 1 && flat[292] == 5 && flat[293] == 0)
  }
}
