import Layers
import Tensors
import Testing

@Suite struct MaxPool2dTests {
  @Test func equalsPyTorch() throws { try expectPoolingEqualsPyTorch(kind: "MaxPool2d", bound: 0) }

  @Test func countsWindowsAsPyTorch() throws { try expectShapeRuleEqualsPyTorch(kind: "MaxPool2d") }

  /// At inputs so far apart that no step changes a winner.
  @Test func gradientIsTheSlope() throws {
    let shape: Shape = [2, 2, 7, 9]
    let order = RandomStream(seed: 1, purpose: .test(3)).permutation(count: shape.count)
    let x = Tensor(shape: shape, values: order.map { Float($0) * 0.0625 })
    for layer in [MaxPool2d(kernel: 2), MaxPool2d(kernel: 3, stride: 2, padding: 1)] {
      #expect(try LayerHarness(layer, inputs: [x]).gradientError() < 1e-4)
    }
  }

  /// Of NaNs the last wins, of equal values the first, and -∞ everywhere still has a winner inside.
  @Test(arguments: InstructionSet.available)
  func handlesWhatIsNotFinite(kernels: InstructionSet) throws {
    func run(_ layer: MaxPool2d, _ shape: Shape, _ values: [Float]) throws -> LayerHarness.Result {
      let harness = try LayerHarness(layer, inputs: [Tensor(shape: shape, values: values)])
      harness.kernels = kernels
      let output = harness.outputShape
      return harness.run(outputGradient: Tensor(shape: [1, 1, output.height, output.width], repeating: 1))
    }
    for padded in [false, true] {
      let layer = padded ? MaxPool2d(kernel: 3, padding: 1) : MaxPool2d(kernel: 2)
      let nan = try run(layer, [1, 1, 2, 2], [1, .nan, .nan, 5])
      #expect(nan.output.values[0].isNaN)
      #expect(nan.inputGradients[0]?.values == [0, 0, 1, 0])
      let equal = try run(layer, [1, 1, 2, 2], [1, 5, 5, 5])
      #expect(equal.output.values == [5] && equal.inputGradients[0]?.values == [0, 1, 0, 0])
      let infinite = try run(layer, [1, 1, 2, 2], Array(repeating: -.infinity, count: 4))
      #expect(infinite.output.values == [-.infinity] && infinite.inputGradients[0]?.values == [1, 0, 0, 0])
    }
  }

  @Test func aConstantStaysAndEveryGradientArrives() throws {
    let layer = MaxPool2d(kernel: 3, stride: 2, padding: 1, ceilMode: true)
    let constant = try LayerHarness(layer, inputs: [Tensor(shape: [3, 2, 6, 19], repeating: -2.5)]).run()
      .output
    #expect(constant.values.allSatisfy { $0 == -2.5 })
    let harness = try LayerHarness(layer, inputs: [.random([3, 2, 6, 19], number: 1)])
    let dy = Tensor(shape: constant.shape, repeating: 1)
    let dx = try #require(harness.run(outputGradient: dy).inputGradients[0])
    #expect(dx.values.reduce(0, +) == Float(dy.shape.count))
  }

  @Test func saysWhatItExpects() {
    let input = FeatureShape(channels: 2, height: 4, width: 4)
    func message(_ layer: MaxPool2d) -> String? {
      do throws(LayerError) {
        _ = try layer.outputShape(of: [input])
        return nil
      } catch { return error.description }
    }
    #expect(
      message(MaxPool2d(kernel: 2, padding: 2))
        == "MaxPool2d expects a padding of at most half the kernel (2, 2), got (2, 2)")
    #expect(
      message(MaxPool2d(kernel: 5)) == "MaxPool2d with windows of (5, 5) has no window to put into (2, 4, 4)")
    #expect(
      message(MaxPool2d(kernel: 257)) == "MaxPool2d expects a kernel of at most (256, 256), got (257, 257)")
    #expect(
      message(MaxPool2d(kernel: 2, stride: 0))?.contains("at least 1, got (2, 2), (0, 0), (1, 1)") == true)
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    for layer in [
      MaxPool2d(kernel: 2), MaxPool2d(kernel: 3, stride: 2, padding: 1),
      MaxPool2d(kernel: Size2D(2, 4), stride: 1, dilation: 2, ceilMode: true), MaxPool2d(kernel: 3),
    ] {
      try expectMicrobatchesIndependent(of: layer, inputs: [[6, 19, 7, 9]])
      try expectChannelsIndependent(of: layer, height: 8, width: 11)
    }
  }
}
