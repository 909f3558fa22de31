import CKernels
import Tensors
import Testing

@Suite struct RandomStreamTests {
  /// Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds).
  @Test(arguments: [
    KnownAnswer(
      counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    KnownAnswer(
      counter: [.max, .max, .max, .max], key: [.max, .max],
      words: [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
    KnownAnswer(
      counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: [0xa409_3822, 0x299f_31d0],
      words: [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
  ])
  func philoxGivesKnownAnswers(answer: KnownAnswer) {
    var stream = cnn_philox_stream(
      key: (answer.key[0], answer.key[1]), counter: (answer.counter[1], answer.counter[2], answer.counter[3]))
    var words: [UInt32] = [0, 0, 0, 0]
    cnn_philox_block(&stream, answer.counter[0], &words)
    #expect(words == answer.words)
  }

  /// The seed is the key; the counter is (block, position, epoch, purpose).
  @Test func theAddressOfANumberIsItsCounter() {
    let stream = RandomStream(seed: 0x1111_2222_3333_4444, purpose: .dropout(layer: 7), epoch: 5, position: 9)
    var expected = cnn_philox_stream(key: (0x3333_4444, 0x1111_2222), counter: (9, 5, 5 << 24 | 7))
    for block in 0..<3 {
      var words: [UInt32] = [0, 0, 0, 0]
      cnn_philox_block(&expected, UInt32(block), &words)
      #expect((0..<4).map { stream.word(at: 4 * block + $0) } == words)
    }
  }

  @Test func everyPartOfTheAddressCounts() {
    let streams = [
      RandomStream(seed: 1, purpose: .augmentation, epoch: 2, position: 3),
      RandomStream(seed: 1 << 32 | 1, purpose: .augmentation, epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .shuffle, epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .split, epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .synthesis, epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .dropout(layer: 0), epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .dropout(layer: 1), epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .initialisation(array: 1), epoch: 2, position: 3),
      RandomStream(seed: 1, purpose: .augmentation, epoch: 3, position: 3),
      RandomStream(seed: 1, purpose: .augmentation, epoch: 2, position: 2),
    ]
    #expect(Set(streams.map { $0.word(at: 0) }).count == streams.count)
  }

  /// Mean ½, variance 1/12 and a flat histogram: χ² over 256 bins has mean 255 and deviation 22.6.
  @Test func uniformNumbersAreUniform() {
    let stream = RandomStream(seed: 42, purpose: .test(1))
    let count = 1 << 18
    let values = (0..<count).map { Double(stream.uniform(at: $0)) }
    var bins = Array(repeating: 0.0, count: 256)
    for value in values { bins[Int(value * 256)] += 1 }
    let expected = Double(count) / 256
    let chiSquare = bins.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
    #expect(values.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(abs(moment(1, of: values) - 0.5) < 0.002)
    #expect(abs(moment(2, of: values, around: 0.5) - 1 / 12.0) < 0.001)
    #expect(chiSquare > 170 && chiSquare < 340)
  }

  /// Mean 0, variance 1, skewness 0, fourth moment 3, all within five standard errors.
  @Test func normalNumbersAreNormal() {
    let stream = RandomStream(seed: 42, purpose: .test(2))
    let count = 1 << 18
    let values = (0..<count).map { Double(stream.normal(at: $0)) }
    let error = 5 / Double(count).squareRoot()
    #expect(abs(moment(1, of: values)) < error)
    #expect(abs(moment(2, of: values) - 1) < 2.0.squareRoot() * error)
    #expect(abs(moment(3, of: values)) < 15.0.squareRoot() * error)
    #expect(abs(moment(4, of: values) - 3) < 96.0.squareRoot() * error)
    #expect(values.contains { $0 > 4 } && values.contains { $0 < -4 })
  }

  /// Numbers next to each other, in index or in position, have no correlation.
  @Test func neighboursAreIndependent() {
    let count = 1 << 16
    let here = RandomStream(seed: 7, purpose: .test(3), position: 10)
    let next = RandomStream(seed: 7, purpose: .test(3), position: 11)
    let byIndex = (0..<count).map { Double(here.normal(at: $0)) * Double(here.normal(at: $0 + 1)) }
    let byPosition = (0..<count).map { Double(here.normal(at: $0)) * Double(next.normal(at: $0)) }
    let error = 5 / Double(count).squareRoot()
    #expect(abs(moment(1, of: byIndex)) < error)
    #expect(abs(moment(1, of: byPosition)) < error)
  }

  @Test func integersStayBelowTheirBoundAndReachEveryValue() {
    let stream = RandomStream(seed: 3, purpose: .test(4))
    for bound in [1, 2, 3, 7, 100] {
      #expect(Set((0..<100 * bound).map { stream.integer(at: $0, below: bound) }) == Set(0..<bound))
    }
    #expect(stream.integer(at: 0, below: 1 << 32) == Int(stream.word(at: 0)))
  }

  @Test func aPermutationHoldsEachNumberOnce() {
    for count in [0, 1, 2, 3, 1000] {
      let order = RandomStream(seed: 5, purpose: .shuffle).permutation(count: count)
      #expect(order.sorted() == Array(0..<count))
    }
    let first = RandomStream(seed: 5, purpose: .shuffle, epoch: 0).permutation(count: 1000)
    #expect(first == RandomStream(seed: 5, purpose: .shuffle, epoch: 0).permutation(count: 1000))
    #expect(first != RandomStream(seed: 5, purpose: .shuffle, epoch: 1).permutation(count: 1000))
    #expect(first != RandomStream(seed: 6, purpose: .shuffle, epoch: 0).permutation(count: 1000))
  }

  /// Over many seeds every order of four comes equally often: χ² over 24 has mean 23, deviation 6.8.
  @Test func allOrdersAreEquallyLikely() {
    let trials = 24_000
    var seen: [[Int]: Double] = [:]
    for seed in 0..<trials {
      seen[RandomStream(seed: UInt64(seed), purpose: .test(5)).permutation(count: 4), default: 0] += 1
    }
    let expected = Double(trials) / 24
    #expect(seen.count == 24)
    #expect(seen.values.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected } < 55)
  }

  private func moment(_ power: Int, of values: [Double], around centre: Double = 0) -> Double {
    values.reduce(0) { sum, value in sum + (0..<power).reduce(1) { product, _ in product * (value - centre) }
    }
      / Double(values.count)
  }
}

struct KnownAnswer: Sendable {
  let counter: [UInt32]
  let key: [UInt32]
  let words: [UInt32]
}
