import CKernels
import Layers
import Tensors
import Testing

@Suite struct DropoutTests {
  /// The definition, element by element, by the generator that everything else uses.
  private func expected(_ x: Tensor, _ place: BatchPlace, _ probability: Float, number: Int) -> [Float] {
    let perImage = x.shape.count / x.shape[0]
    return x.values.indices.map { index in
      let stream = RandomStream(
        seed: place.seed, purpose: .dropout(layer: number), epoch: place.epoch,
        position: place.firstPosition + index / perImage)
      let kept = stream.uniform(at: index % perImage) >= probability
      return kept ? x.values[index] * (1 / (1 - probability)) : 0
    }
  }

  @Test(arguments: InstructionSet.available)
  func followsItsDefinition(kernels: InstructionSet) throws {
    for shape in [[3, 5, 7, 9], [5, 300], [1, 3, 1, 64], [2, 2, 13, 13], [4, 1, 1, 1]] as [Shape] {
      for probability: Float in [0.5, 0.1, 0.9] {
        let x = Tensor.random(shape, number: 1)
        let harness = try LayerHarness(try Dropout(probability: probability, number: 3), inputs: [x])
        harness.kernels = kernels
        for inPlace in [false, true] {
          harness.inPlace = inPlace
          let result = harness.run(outputGradient: .random(shape, number: 2))
          #expect(result.output.values == expected(x, harness.place, probability, number: 3))
          #expect(
            result.inputGradients[0]?.values
              == expected(.random(shape, number: 2), harness.place, probability, number: 3))
          #expect(harness.run(mode: .inference).output.values == x.values)
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func drawsTheWordsOfPhilox(kernels: InstructionSet) {
    var stream = RandomStream(
      seed: 0x1234_5678_9ABC_DEF0, purpose: .dropout(layer: 1), epoch: 3, position: 1 << 31
    ).philox
    for block: UInt32 in [0, 5, 1 << 20, .max - 15] {
      var words = [UInt32](repeating: 0, count: 64)
      cnn_dropout_kernels_for(kernels.kernelTable).pointee.words(&words, &stream, block)
      for lane in 0..<16 {
        var four = [UInt32](repeating: 0, count: 4)
        cnn_philox_block(&stream, block + UInt32(lane), &four)
        #expect(Array(words[(4 * lane)..<(4 * lane + 4)]) == four)
      }
    }
  }

  /// An image drops the same elements alone as in company.
  @Test func doesNotDependOnTheMicrobatch() throws {
    let x = Tensor.random([5, 3, 6, 7], number: 1)
    let layer = try Dropout(number: 0)
    let together = try LayerHarness(layer, inputs: [x]).run().output.values
    var apart: [Float] = []
    for images in [0..<2, 2..<3, 3..<5] {
      let part = Tensor(
        shape: [images.count, 3, 6, 7],
        values: Array(x.values[(images.lowerBound * 126)..<(images.upperBound * 126)]))
      let harness = try LayerHarness(layer, inputs: [part])
      harness.place.firstPosition += images.lowerBound
      apart += harness.run().output.values
    }
    #expect(apart == together)
  }

  @Test func keepsTheRightShareAndTheExpectation() throws {
    let x = Tensor(shape: [10, 100, 10, 10], repeating: 1)
    for probability: Float in [0.2, 0.5, 0.75] {
      let y = try LayerHarness(try Dropout(probability: probability, number: 0), inputs: [x]).run().output
        .values
      let dropped = Double(y.filter { $0 == 0 }.count) / 100_000
      let deviation = (Double(probability) * (1 - Double(probability)) / 1e5).squareRoot()
      #expect(abs(dropped - Double(probability)) < 4 * deviation)
      #expect(abs(y.reduce(0) { $0 + Double($1) } / 1e5 - 1) < 0.025)
    }
  }

  @Test func differsByLayerEpochAndSeed() throws {
    let x = Tensor(shape: [1, 256], repeating: 1)
    func mask(number: Int, _ change: (inout BatchPlace) -> Void = { _ in }) throws -> [Float] {
      let harness = try LayerHarness(try Dropout(number: number), inputs: [x])
      change(&harness.place)
      return harness.run().output.values
    }
    let masks = [
      try mask(number: 0), try mask(number: 1), try mask(number: 0) { $0.epoch += 1 },
      try mask(number: 0) { $0.seed += 1 }, try mask(number: 0) { $0.firstPosition += 1 },
    ]
    #expect(Set(masks).count == masks.count)
  }

  @Test func zeroKeepsAllAndOneDropsAll() throws {
    let x = Tensor.random([2, 3, 4, 5], number: 1)
    #expect(try LayerHarness(try Dropout(probability: 0, number: 0), inputs: [x]).run().output == x)
    let none = try LayerHarness(try Dropout(probability: 1, number: 0), inputs: [x]).run().output
    #expect(none.values.allSatisfy { $0 == 0 })
  }

  @Test func gradientIsTheSlope() throws {
    #expect(try gradientError(of: try Dropout(number: 2), inputs: [[3, 4, 5, 5]]) < 1e-4)
  }

  @Test func refusesWhatIsNoProbability() {
    for probability: Float in [-0.1, 1.5, .nan] {
      #expect(throws: LayerError.self) { try Dropout(probability: probability, number: 0) }
    }
  }

  @Test func microbatchesDoNotMix() throws {
    for shape in [[6, 19, 3, 5], [6, 19, 4, 4], [6, 75]] as [Shape] {
      try expectMicrobatchesIndependent(of: try Dropout(number: 1), inputs: [shape])
    }
  }
}
