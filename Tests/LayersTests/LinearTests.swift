import Layers
import Tensors
import Testing

@Suite struct LinearTests {
  private struct Hyper: Decodable {
    let outputs: Int
    let bias: Bool
  }

  @Test func agreesWithPyTorch() throws {
    let golden = try GoldenFile("linear")
    for (name, hyper) in try golden.cases(Hyper.self) {
      let names = hyper.bias ? ["weight", "bias"] : ["weight"]
      for choice in [ConvolutionChoice.auto, .blas] {
        let harness = try LayerHarness(
          Linear(outputFeatures: hyper.outputs, bias: hyper.bias, algorithm: choice),
          inputs: [try golden.tensor("\(name)/x")],
          parameters: names.map { try golden.tensor("\(name)/\($0)") })
        #expect(harness.parameterDeclarations.map(\.name) == names)
        for kernels in InstructionSet.available {
          harness.kernels = kernels
          let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
          #expect(maxRelativeError(result.output, try golden.tensor("\(name)/y")) < 1e-6, "\(name): y")
          let dx = try #require(result.inputGradients[0])
          #expect(maxRelativeError(dx, try golden.tensor("\(name)/dx")) < 1e-6, "\(name): dx")
          for (gradient, array) in zip(result.parameterGradients, ["dWeight", "dBias"]) {
            let expected = try golden.tensor("\(name)/\(array)")
            #expect(maxRelativeError(gradient, expected) < 1e-6, "\(name): \(array)")
          }
        }
      }
    }
  }

  @Test func hasTheGradientOfItsForward() throws {
    #expect(try gradientError(of: Linear(outputFeatures: 5), inputs: [[4, 7]]) < 1e-4)
    #expect(try gradientError(of: Linear(outputFeatures: 3, bias: false), inputs: [[1, 6]]) < 1e-4)
  }

  @Test func isLinear() throws {
    let x = Tensor.random([5, 9], number: 1)
    let doubled = Tensor(shape: x.shape, values: x.values.map { 2 * $0 })
    let weight = [Tensor.random([6, 9], number: 2)]
    let layer = Linear(outputFeatures: 6, bias: false)
    let y = try LayerHarness(layer, inputs: [x], parameters: weight).run().output
    let y2 = try LayerHarness(layer, inputs: [doubled], parameters: weight).run().output
    #expect(y2.values == y.values.map { 2 * $0 })
  }

  /// Images (C, H, W) are the vector of their elements in this order, and weights keep PyTorch's.
  @Test func readsImagesAsFlattenWouldGiveThem() throws {
    for (input, outputs, choice) in [
      ([3, 5, 2, 3] as Shape, 7, ConvolutionChoice.auto), ([5, 20, 4, 4], 33, .auto),
      ([17, 16, 1, 3], 64, .auto),
      ([3, 18, 2, 2], 40, .blas),
    ] {
      let x = Tensor.random(input, number: 1)
      let features = input[1] * input[2] * input[3]
      let dy = Tensor.random([input[0], outputs], number: 2)
      let parameters = [Tensor.random([outputs, features], number: 3), Tensor.random([outputs], number: 4)]
      var layer = Linear(outputFeatures: outputs, algorithm: choice)
      let vectors = Tensor(shape: [input[0], features], values: x.values)
      let plain = try LayerHarness(layer, inputs: [vectors], parameters: parameters)
      layer.flattens = true
      let flattening = try LayerHarness(layer, inputs: [x], parameters: parameters)
      for kernels in InstructionSet.available {
        (plain.kernels, flattening.kernels) = (kernels, kernels)
        let (a, b) = (flattening.run(outputGradient: dy), plain.run(outputGradient: dy))
        #expect(maxRelativeError(a.output, b.output) < 3e-6, "\(input) on \(kernels)")
        let (dx, expected) = (try #require(a.inputGradients[0]), try #require(b.inputGradients[0]))
        #expect(maxRelativeError(dx.values, expected.values) < 3e-6, "\(input) on \(kernels)")
        for (a, b) in zip(a.parameterGradients, b.parameterGradients) {
          #expect(maxRelativeError(a, b) < 3e-6, "\(input) on \(kernels)")
        }
      }
    }
  }

  @Test func declaresWhatPyTorchDeclares() {
    let layer = Linear(outputFeatures: 6, initialisation: .glorot)
    let arrays = layer.parameters(for: [FeatureShape(channels: 4)])
    #expect(arrays.map(\.shape) == [[6, 4], [6]])
    #expect(arrays.map(\.initialisation) == [.uniform(bound: Float(0.6).squareRoot()), .zeros])
    #expect(layer.multiplyAdds(for: [FeatureShape(channels: 4)]) == 24)
  }

  @Test func asksForAFlattenBeforeIt() {
    let error = #expect(throws: LayerError.self) {
      try Linear(outputFeatures: 3).outputShape(of: [FeatureShape(channels: 8, height: 4, width: 4)])
    }
    #expect(
      error?.description
        == "Linear expects a vector (F, 1, 1), got (8, 4, 4): a Flatten before it would make one")
    #expect(throws: LayerError.self) {
      try Linear(outputFeatures: 0).outputShape(of: [FeatureShape(channels: 8)])
    }
  }
}
