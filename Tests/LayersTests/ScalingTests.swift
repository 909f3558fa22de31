import Layers
import Tensors
import Testing

/// The products with a factor for each channel (of each image): Multiply and LayerScale.
@Suite struct ScalingTests {
  @Test(arguments: InstructionSet.available)
  func equalsPyTorch(kernels: InstructionSet) throws {
    let golden = try GoldenFile("scaling")
    for name in ["plane", "pixel", "wide"] {
      func array(_ kind: String, _ array: String) throws -> Tensor {
        try golden.tensor("\(kind)_\(name)/\(array)")
      }
      let multiply = try LayerHarness(
        Multiply(), inputs: [try array("multiply", "x"), try array("multiply", "s")])
      let scale = try LayerHarness(
        LayerScale(), inputs: [try array("layer_scale", "x")],
        parameters: [try array("layer_scale", "weight")])
      for inPlace in [false, true] {
        for harness in [multiply, scale] { (harness.kernels, harness.inPlace) = (kernels, inPlace) }
        let product = multiply.run(outputGradient: try array("multiply", "dy"))
        let (dx, ds) = (try #require(product.inputGradients[0]), try #require(product.inputGradients[1]))
        #expect(maxRelativeError(product.output, try array("multiply", "y")) <= 1e-7)
        #expect(maxRelativeError(dx, try array("multiply", "dx")) <= 1e-7)
        #expect(maxRelativeError(ds, try array("multiply", "ds")) <= 1e-6)
        let scaled = scale.run(outputGradient: try array("layer_scale", "dy"))
        #expect(maxRelativeError(scaled.output, try array("layer_scale", "y")) <= 1e-7)
        #expect(
          maxRelativeError(try #require(scaled.inputGradients[0]), try array("layer_scale", "dx")) <= 1e-7)
        #expect(
          maxRelativeError(scaled.parameterGradients[0], try array("layer_scale", "dweight")) <= 1e-6)
      }
    }
  }

  @Test func gradientIsTheSlope() throws {
    #expect(try gradientError(of: Multiply(), inputs: [[2, 18, 4, 5], [2, 18, 1, 1]]) < 1e-4)
    #expect(try gradientError(of: LayerScale(), inputs: [[4, 18, 3, 5]], microbatches: [1, 3]) < 1e-4)
  }

  @Test func everyInstructionSetGivesTheSameBits() throws {
    for size in 1...40 {
      let shape: Shape = [2, size, 1, 41 - size]
      let dy = Tensor.random(shape, number: 80 + size)
      let multiply = try LayerHarness(
        Multiply(), inputs: [.random(shape, number: size), .random([2, size, 1, 1], number: 7)])
      let scale = try LayerHarness(
        LayerScale(), inputs: [.random(shape, number: size)], parameters: [.random([size, 1, 1], number: 8)])
      for harness in [multiply, scale] {
        harness.kernels = .ref
        let reference = harness.run(outputGradient: dy)
        for kernels in InstructionSet.available {
          harness.kernels = kernels
          let result = harness.run(outputGradient: dy)
          #expect(result.output == reference.output && result.inputGradients == reference.inputGradients)
          #expect(result.leaves == reference.leaves)
        }
      }
    }
  }

  /// For fixed factors the product is linear in x, and backward its adjoint: ⟨x·s, dy⟩ = ⟨x, dx⟩ = ⟨s, ds⟩.
  @Test func backwardIsTheAdjoint() throws {
    func dot(_ a: Tensor, _ b: Tensor) -> Double {
      zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let (x, s) = (Tensor.random([3, 20, 5, 7], number: 1), Tensor.random([3, 20, 1, 1], number: 2))
    let dy = Tensor.random([3, 20, 5, 7], number: 3)
    let result = try LayerHarness(Multiply(), inputs: [x, s]).run(outputGradient: dy)
    let expected = dot(result.output, dy)
    for (input, gradient) in zip([x, s], result.inputGradients) {
      #expect(abs(dot(input, try #require(gradient)) - expected) < 1e-4)
    }
  }

  @Test func skipsGradientsThatNobodyWants() throws {
    let harness = try LayerHarness(
      Multiply(), inputs: [.random([2, 3, 4, 4], number: 1), .random([2, 3, 1, 1], number: 2)])
    let dy = Tensor.random([2, 3, 4, 4], number: 3)
    let both = harness.run(outputGradient: dy).inputGradients
    for wanted in [[true, false], [false, true], [false, false]] {
      let some = harness.run(outputGradient: dy, inputGradientsWanted: wanted).inputGradients
      #expect(some == zip(both, wanted).map { $1 ? $0 : nil })
    }
  }

  @Test func beginsWithItsInitialValue() throws {
    let x = Tensor.random([2, 17, 2, 2], number: 1)
    let y = try LayerHarness(try LayerScale(initialValue: 0.5), inputs: [x]).run().output
    #expect(y.values == x.values.map { $0 * 0.5 })
    #expect(throws: LayerError.self) { try LayerScale(initialValue: .nan) }
  }

  @Test func saysWhatItExpects() {
    let x = FeatureShape(channels: 4, height: 3, width: 3)
    do throws(LayerError) {
      _ = try Multiply().outputShape(of: [x, x])
      Issue.record("accepted")
    } catch {
      #expect(
        error.description
          == "Multiply expects a factor for each channel, (4, 1, 1) for (4, 3, 3), got (4, 3, 3)")
    }
  }

  @Test func microbatchesDoNotMix() throws {
    try expectMicrobatchesIndependent(of: Multiply(), inputs: [[6, 19, 3, 4], [6, 19, 1, 1]])
    try expectMicrobatchesIndependent(of: LayerScale(), inputs: [[6, 19, 3, 4]])
  }
}
