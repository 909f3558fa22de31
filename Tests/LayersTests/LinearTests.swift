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
      let harness = try LayerHarness(
        Linear(outputFeatures: hyper.outputs, bias: hyper.bias), inputs: [try golden.tensor("\(name)/x")],
        parameters: names.map { try golden.tensor("\(name)/\($0)") })
      #expect(harness.parameterDeclarations.map(\.name) == names)
      let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
      #expect(maxRelativeError(result.output, try golden.tensor("\(name)/y")) < 1e-6, "\(name): y")
      let dx = try #require(result.inputGradients[0])
      #expect(maxRelativeError(dx, try golden.tensor("\(name)/dx")) < 1e-6, "\(name): dx")
      for (gradient, array) in zip(result.parameterGradients, ["dWeight", "dBias"]) {
        #expect(maxRelativeError(gradient, try golden.tensor("\(name)/\(array)")) < 1e-6, "\(name): \(array)")
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

  @Test func givesEqualBitsOnEveryInstructionSet() throws {
    for (images, features, outputs) in [(1, 3, 2), (5, 19, 7), (16, 40, 33), (37, 8, 5)] {
      let harness = try LayerHarness(
        Linear(outputFeatures: outputs), inputs: [Tensor.random([images, features], number: 1)])
      let dy = Tensor.random([images, outputs], number: 2)
      harness.kernels = .ref
      let expected = harness.run(outputGradient: dy)
      for kernels in InstructionSet.allCases where kernels > .ref && kernels <= .detected {
        harness.kernels = kernels
        let result = harness.run(outputGradient: dy)
        #expect(result.output == expected.output && result.parameterGradients == expected.parameterGradients)
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
