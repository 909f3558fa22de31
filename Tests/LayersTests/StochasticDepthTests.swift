import Layers
import Tensors
import Testing

@Suite struct StochasticDepthTests {
  /// The definition, image by image, by the generator that everything else uses.
  private func expected(_ x: Tensor, _ place: BatchPlace, _ probability: Float, number: Int) -> [Float] {
    let perImage = x.shape.count / x.shape[0]
    return x.values.indices.map { index in
      let stream = RandomStream(
        seed: place.seed, purpose: .stochasticDepth(layer: number), epoch: place.epoch,
        position: place.firstPosition + index / perImage)
      return stream.uniform(at: 0) >= probability ? x.values[index] * (1 / (1 - probability)) : 0
    }
  }

  @Test(arguments: InstructionSet.available)
  func followsItsDefinition(kernels: InstructionSet) throws {
    for shape in [[9, 5, 3, 4], [5, 33], [1, 16, 1, 1]] as [Shape] {
      for probability: Float in [0, 0.2, 0.5, 1] {
        let (x, dy) = (Tensor.random(shape, number: 1), Tensor.random(shape, number: 2))
        let harness = try LayerHarness(try StochasticDepth(probability: probability, number: 3), inputs: [x])
        harness.kernels = kernels
        for inPlace in [false, true] {
          harness.inPlace = inPlace
          let result = harness.run(outputGradient: dy)
          #expect(result.output.values == expected(x, harness.place, probability, number: 3))
          #expect(
            result.inputGradients[0]?.values == expected(dy, harness.place, probability, number: 3))
          #expect(harness.run(mode: .inference).output.values == x.values)
        }
      }
    }
  }

  @Test func dropsTheRightShareOfImages() throws {
    let x = Tensor(shape: [4000, 1], repeating: 1)
    for probability: Float in [0.1, 0.5] {
      let y = try LayerHarness(try StochasticDepth(probability: probability, number: 0), inputs: [x]).run()
        .output.values
      let deviation = (Double(probability) * (1 - Double(probability)) / 4000).squareRoot()
      #expect(abs(Double(y.filter { $0 == 0 }.count) / 4000 - Double(probability)) < 4 * deviation)
    }
  }

  @Test func differsByLayerEpochAndSeed() throws {
    let x = Tensor(shape: [64, 1], repeating: 1)
    func kept(number: Int, _ change: (inout BatchPlace) -> Void = { _ in }) throws -> [Float] {
      let harness = try LayerHarness(try StochasticDepth(probability: 0.5, number: number), inputs: [x])
      change(&harness.place)
      return harness.run().output.values
    }
    let all = [
      try kept(number: 0), try kept(number: 1), try kept(number: 0) { $0.epoch += 1 },
      try kept(number: 0) { $0.seed += 1 }, try kept(number: 0) { $0.firstPosition += 1 },
    ]
    #expect(Set(all).count == all.count)
  }

  /// Nothing that is infinite or no number comes out of a branch that is dropped.
  @Test func whatIsDroppedIsZero() throws {
    let x = Tensor(shape: [2, 3], values: [.nan, .infinity, 1, .nan, 2, 3])
    let y = try LayerHarness(try StochasticDepth(probability: 1, number: 0), inputs: [x]).run().output
    #expect(y.values.allSatisfy { $0 == 0 })
  }

  @Test func gradientIsTheSlope() throws {
    let layer = try StochasticDepth(probability: 0.4, number: 2)
    #expect(try gradientError(of: layer, inputs: [[6, 4, 3, 3]]) < 1e-4)
  }

  @Test func refusesWhatIsNoProbability() {
    for probability: Float in [-0.1, 1.5, .nan] {
      #expect(throws: LayerError.self) { try StochasticDepth(probability: probability, number: 0) }
    }
  }

  @Test func microbatchesDoNotMix() throws {
    let layer = try StochasticDepth(probability: 0.5, number: 1)
    try expectMicrobatchesIndependent(of: layer, inputs: [[6, 19, 3, 5]])
    try expectMicrobatchesIndependent(of: layer, inputs: [[6, 75]])
  }
}
