import Layers
import Tensors
import Testing

/// A case of norms.safetensors.
private struct NormHyper: Decodable {
  var kind: String
  var epsilon: Float?
  var affine: Bool?
  var groups: Int?
  var size: Int?
  var alpha, beta, k: Float?

  func layer() throws -> any Layer {
    switch kind {
    case "LayerNorm": try LayerNorm(epsilon: epsilon ?? .nan, affine: affine ?? true)
    case "GroupNorm": try GroupNorm(groups: groups ?? 0, epsilon: epsilon ?? .nan, affine: affine ?? true)
    case "LocalResponseNorm":
      try LocalResponseNorm(size: size ?? 0, alpha: alpha ?? .nan, beta: beta ?? .nan, k: k ?? .nan)
    case "Softmax": Softmax()
    default: throw LayerError("the golden file has an unknown \(kind)")
    }
  }
}

/// Layer norm, group norm, local response norm and softmax.
@Suite struct NormsTests {
  private static func layers() throws -> [any Layer] {
    [
      try LayerNorm(), try LayerNorm(affine: false), try GroupNorm(groups: 1), try GroupNorm(groups: 6),
      try GroupNorm(groups: 3, affine: false), try LocalResponseNorm(size: 5, alpha: 0.5, k: 2),
      try LocalResponseNorm(size: 4, alpha: 0.3, beta: 1.2), Softmax(),
    ]
  }

  @Test(arguments: InstructionSet.available)
  func equalsPyTorch(kernels: InstructionSet) throws {
    let golden = try GoldenFile("norms")
    let cases = try golden.cases(NormHyper.self)
    #expect(cases.count == 20)
    for (name, hyper) in cases {
      let arrays = ["weight", "bias"].filter { golden.has("\(name)/\($0)") }
      let harness = try LayerHarness(
        try hyper.layer(), inputs: [try golden.tensor("\(name)/x")],
        parameters: try arrays.map { try golden.tensor("\(name)/\($0)") })
      harness.kernels = kernels
      // A mean of 100 takes digits from what is left: 100 · 2⁻²⁴ · a few.
      let bound = name == "layer_off" ? 2e-5 : 1e-6
      for inPlace in [false, true] {
        harness.inPlace = inPlace
        let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
        let dx = try #require(result.inputGradients[0])
        let errors = [
          maxRelativeError(result.output, try golden.tensor("\(name)/y")),
          maxRelativeError(dx, try golden.tensor("\(name)/dx")),
        ]
        #expect(errors.allSatisfy { $0 <= bound }, "\(name): \(errors)")
        for (array, gradient) in zip(arrays, result.parameterGradients) {
          let error = maxRelativeError(gradient, try golden.tensor("\(name)/d\(array)"))
          #expect(error <= bound, "\(name), \(array): \(error)")
        }
        #expect(harness.run(mode: .inference).output == result.output, "\(name)")
      }
    }
  }

  @Test func gradientIsTheSlope() throws {
    for layer in try Self.layers() {
      #expect(
        try gradientError(of: layer, inputs: [[4, 18, 3, 4]], microbatches: [1, 3]) < 1e-4, "\(layer)")
    }
    #expect(try gradientError(of: try LayerNorm(), inputs: [[5, 37]], microbatches: [3, 2]) < 1e-4)
  }

  @Test func everyInstructionSetGivesTheSameBits() throws {
    for layer in try Self.layers() {
      for pixels in [1, 2, 15, 16, 17, 33, 40] {
        for channels in [6, 12, 18, 48, 54] {
          let shape: Shape = [2, channels, 1, pixels]
          let harness = try LayerHarness(layer, inputs: [.random(shape, number: pixels)])
          harness.parameters = harness.parameters.map { .random($0.shape, number: 9) }
          let results = InstructionSet.available.map { kernels in
            harness.kernels = kernels
            return harness.run(outputGradient: .random(shape, number: 80))
          }
          for result in results {
            #expect(result.output == results[0].output, "\(layer) of \(shape)")
            #expect(result.inputGradients == results[0].inputGradients, "\(layer) of \(shape)")
            #expect(result.leaves == results[0].leaves, "\(layer) of \(shape)")
          }
        }
      }
    }
  }

  /// What is normed has mean 0 and variance 1 wherever it lay and whatever its size.
  @Test func normsToMeanZeroAndVarianceOne() throws {
    for (scale, offset) in [(1, 0), (1e3, 0), (0.3, 20)] as [(Float, Float)] {
      var x = Tensor.random([3, 24, 5, 7], number: 1)
      x.values = x.values.map { scale * $0 + offset }
      let byPixel = try LayerHarness(try LayerNorm(affine: false), inputs: [x]).run().output.values
      let byGroup = try LayerHarness(try GroupNorm(groups: 4, affine: false), inputs: [x]).run().output.values
      func check(_ values: [Float]) {
        let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
        let variance =
          values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
        #expect(abs(mean) < 2e-5 && abs(variance - 1) < 2e-3)
      }
      for image in 0..<3 {
        for pixel in 0..<35 { check((0..<24).map { byPixel[(image * 24 + $0) * 35 + pixel] }) }
        for group in 0..<4 {
          check(Array(byGroup[((image * 4 + group) * 210)..<((image * 4 + group + 1) * 210)]))
        }
      }
    }
  }

  @Test func softmaxSumsToOneAndForgetsAShift() throws {
    var x = Tensor.random([2, 37, 3, 1], number: 1)
    x.values = x.values.map { $0 * 30 }
    let y = try LayerHarness(Softmax(), inputs: [x]).run().output.values
    for image in 0..<2 {
      for pixel in 0..<3 {
        let sum = (0..<37).reduce(0.0) { $0 + Double(y[(image * 37 + $1) * 3 + pixel]) }
        #expect(abs(sum - 1) < 1e-6)
      }
    }
    let shifted = Tensor(shape: x.shape, values: x.values.map { $0 + 1000 })
    let moved = try LayerHarness(Softmax(), inputs: [shifted]).run().output
    #expect(maxRelativeError(moved.values, y) < 1e-3)
    let low = try LayerHarness(Softmax(), inputs: [Tensor(shape: [1, 3], values: [-3e38, -3e38, -1e38])])
    #expect(low.run().output.values == [0, 0, 1])
  }

  @Test func localResponseWithoutNeighboursIsElementWise() throws {
    let x = Tensor.random([2, 18, 2, 2], number: 1)
    let y = try LayerHarness(try LocalResponseNorm(size: 1, alpha: 3, beta: 0.5, k: 4), inputs: [x]).run()
      .output
    let expected = x.values.map { $0 / (4 + 3 * $0 * $0).squareRoot() }
    #expect(maxRelativeError(y.values, expected) < 1e-6)
  }

  @Test func refusesWhatCannotBe() throws {
    #expect(throws: LayerError.self) { try LayerNorm(epsilon: -1) }
    #expect(throws: LayerError.self) { try GroupNorm(groups: 0) }
    #expect(throws: LayerError.self) { try GroupNorm(groups: 2, epsilon: .nan) }
    #expect(throws: LayerError.self) { try LocalResponseNorm(size: 0) }
    #expect(throws: LayerError.self) { try LocalResponseNorm(size: 5, k: 0) }
    let group = try GroupNorm(groups: 3)
    do throws(LayerError) {
      _ = try group.outputShape(of: [FeatureShape(channels: 4)])
      Issue.record("accepted")
    } catch {
      #expect(error.description == "GroupNorm with 3 groups expects a multiple of 3 channels, got (4, 1, 1)")
    }
  }

  @Test func microbatchesDoNotMix() throws {
    for layer in try Self.layers() {
      try expectMicrobatchesIndependent(of: layer, inputs: [[6, 18, 3, 4]])
      try expectMicrobatchesIndependent(of: layer, inputs: [[6, 36]])
    }
  }
}
