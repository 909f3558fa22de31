import Layers
import Tensors
import Testing

/// Convolutions and linear layers in bf16 and `auto`.
@Suite struct RoundedConvolutionTests {
  /// To the nearest number of 8 significant bits, ties to even.
  private func rounded(_ tensor: Tensor) -> Tensor {
    Tensor(
      shape: tensor.shape,
      values: tensor.values.map {
        let step = $0.ulp * 65_536
        return ($0 / step).rounded(.toNearestOrEven) * step
      })
  }

  private func distance(_ a: Tensor, _ b: [Double]) -> Double {
    maxRelativeError(a.values, b.map(Float.init))
  }

  /// Both factors are rounded, and nothing else.
  @Test func bf16IsTheConvolutionOfRoundedFactors() throws {
    var tests = 0
    for test in ConvolutionCase.drawn + ConvolutionCase.wide where test.layer.groups == 1 {
      tests += 1
      let (x, parameters, dy) = try test.arrays()
      let bias = parameters.count > 1 ? parameters[1] : nil
      let expected = ReferenceConvolution(
        test.layer, x: rounded(x), weight: rounded(parameters[0]), bias: bias, dy: rounded(dy))
      var layer = test.layer
      layer.precision = .bf16
      let harness = try LayerHarness(layer, inputs: [x], parameters: parameters)
      for kernels in InstructionSet.available {
        harness.kernels = kernels
        let result = harness.run(outputGradient: dy)
        #expect(distance(result.output, expected.y) < 3e-6, "y on \(kernels): \(test)")
        #expect(
          distance(try #require(result.inputGradients[0]), expected.dx) < 3e-6, "dx on \(kernels): \(test)")
        #expect(
          distance(result.parameterGradients[0], expected.dWeight) < 3e-6, "dWeight on \(kernels): \(test)")
      }
    }
    #expect(tests > 20)
  }

  /// A linear layer over images, in the letters of the convolution that it is.
  @Test func linearLayersRoundTheirFactors() throws {
    for (input, outputs) in [([5, 40, 3, 2] as Shape, 37), ([17, 70, 1, 1], 16), ([3, 16, 2, 2], 3)] {
      let x = Tensor.random(input, number: 1)
      let features = input[1] * input[2] * input[3]
      let weight = Tensor.random([outputs, features], number: 2)
      let dy = Tensor.random([input[0], outputs], number: 3)
      let convolution = Conv2d(outputChannels: outputs, kernel: Size2D(input[2], input[3]), bias: false)
      let expected = ReferenceConvolution(
        convolution, x: rounded(x),
        weight: Tensor(shape: [outputs, input[1], input[2], input[3]], values: rounded(weight).values),
        bias: nil,
        dy: Tensor(shape: [input[0], outputs, 1, 1], values: rounded(dy).values))
      var layer = Linear(outputFeatures: outputs, bias: false)
      (layer.flattens, layer.precision) = (true, .bf16)
      let harness = try LayerHarness(layer, inputs: [x], parameters: [weight])
      for kernels in InstructionSet.available {
        harness.kernels = kernels
        let result = harness.run(outputGradient: dy)
        #expect(distance(result.output, expected.y) < 3e-6, "\(input) on \(kernels)")
        #expect(
          distance(try #require(result.inputGradients[0]), expected.dx) < 3e-6, "\(input) on \(kernels)")
        #expect(distance(result.parameterGradients[0], expected.dWeight) < 3e-6, "\(input) on \(kernels)")
      }
    }
  }

  /// What `auto` takes: bf16 where it multiplies less than Winograd does, by shape alone.
  @Test func autoTakesTheFasterAlgorithm() throws {
    func algorithms(_ layer: Conv2d, _ input: FeatureShape, _ precision: Precision) -> [String] {
      var layer = layer
      layer.precision = precision
      return layer.algorithms(for: [input], kernels: .detected)
    }
    func image(_ channels: Int, _ size: Int) -> FeatureShape {
      FeatureShape(channels: channels, height: size, width: size)
    }
    let threes = Conv2d(outputChannels: 64, kernel: 3, padding: .explicit(1))
    let halving = Conv2d(outputChannels: 64, kernel: 3, stride: 2, padding: .explicit(1))
    let grouped = Conv2d(outputChannels: 64, kernel: 3, groups: 2)
    let bf16 = ["bf16", "bf16", "bf16"]
    #expect(algorithms(threes, image(64, 16), .auto) == ["winograd4", "winograd4", "winograd4"])
    #expect(algorithms(threes, image(64, 16), .bf16) == bf16)
    #expect(algorithms(threes, image(64, 4), .auto) == ["winograd4", "winograd4", "winograd4"])
    #expect(algorithms(threes, image(64, 3), .auto) == bf16)
    #expect(algorithms(threes, image(64, 2), .auto) == bf16)
    let point = Conv2d(outputChannels: 48, kernel: 1)
    #expect(algorithms(point, image(64, 16), .auto) == bf16)
    #expect(algorithms(point, image(32, 16), .auto) == ["pointwise", "bf16", "bf16"])
    #expect(algorithms(point, image(64, 1), .auto) == ["dense", "dense", "dense"])
    #expect(algorithms(halving, image(64, 16), .auto) == bf16)
    #expect(algorithms(halving, image(64, 16), .fp32) == ["direct", "direct", "direct"])
    #expect(algorithms(halving, image(16, 16), .auto) == ["direct", "bf16", "bf16"])
    #expect(algorithms(grouped, image(64, 16), .bf16) == algorithms(grouped, image(64, 16), .fp32))
    var reader = halving
    reader.readsImages = true
    #expect(algorithms(reader, image(3, 64), .auto) == ["stem_bf16", "", "stem_bf16"])
  }
}
