import Layers
import Tensors
import Testing

@Suite struct Conv2dTests {
  private struct Hyper: Decodable {
    let outputs: Int
    let kernel: [Int]
    let stride: [Int]
    let padding: [Int]?
    let dilation: [Int]
    let groups: Int
    let bias: Bool

    var layer: Conv2d {
      Conv2d(
        outputChannels: outputs, kernel: Size2D(kernel[0], kernel[1]), stride: Size2D(stride[0], stride[1]),
        padding: padding.map { .explicit(Size2D($0[0], $0[1])) } ?? .same,
        dilation: Size2D(dilation[0], dilation[1]), groups: groups, bias: bias)
    }
  }

  @Test func agreesWithPyTorch() throws {
    let golden = try GoldenFile("conv2d")
    for (name, hyper) in try golden.cases(Hyper.self) {
      let layer = hyper.layer
      let names = hyper.bias ? ["weight", "bias"] : ["weight"]
      let x = try golden.tensor("\(name)/x")
      let harness = try LayerHarness(
        layer, inputs: [x], parameters: names.map { try golden.tensor("\(name)/\($0)") })
      #expect(harness.parameterDeclarations.map(\.name) == names)
      let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
      let y = try golden.tensor("\(name)/y")
      #expect(result.output.shape == y.shape, "\(name)")
      #expect(maxRelativeError(result.output, y) < 1e-6, "\(name): y")
      let dx = try #require(result.inputGradients[0])
      #expect(maxRelativeError(dx, try golden.tensor("\(name)/dx")) < 1e-6, "\(name): dx")
      for (gradient, array) in zip(result.parameterGradients, ["dWeight", "dBias"]) {
        #expect(maxRelativeError(gradient, try golden.tensor("\(name)/\(array)")) < 1e-6, "\(name): \(array)")
      }
      #expect(harness.run(mode: .inference).output == result.output, "\(name): inference")
    }
  }

  @Test func agreesWithTheDefinition() throws {
    for (number, test) in (ConvolutionCase.drawn + ConvolutionCase.cut + ConvolutionCase.wide).enumerated() {
      let (x, parameters, dy) = try test.arrays()
      let expected = ReferenceConvolution(
        test.layer, x: x, weight: parameters[0], bias: parameters.count > 1 ? parameters[1] : nil, dy: dy)
      // One of the three choices for most shapes, all for those that can choose.
      let choices = [ConvolutionChoice.auto, .blas, .direct]
      for choice in test.isWide ? choices : [choices[number % 3]] {
        var layer = test.layer
        layer.algorithm = choice
        let harness = try LayerHarness(layer, inputs: [x], parameters: parameters)
        for kernels in InstructionSet.available {
          harness.kernels = kernels
          let result = harness.run(outputGradient: dy)
          // Winograd's F(4) may err by 1e-5.
          let bound = choice == .auto && test.isWide ? 1e-5 : 3e-6
          let name = "\(choice) on \(kernels): \(test)"
          #expect(distance(result.output, expected.y) < bound, "y by \(name)")
          #expect(distance(try #require(result.inputGradients[0]), expected.dx) < bound, "dx by \(name)")
          #expect(distance(result.parameterGradients[0], expected.dWeight) < bound, "dWeight by \(name)")
          if parameters.count > 1 {
            #expect(distance(result.parameterGradients[1], expected.dBias) < 3e-6, "dBias by \(name)")
          }
        }
      }
    }
  }

  /// The network's images lie planar; a convolution that can read them so sees the same.
  @Test func readsImagesAsTheyCome() throws {
    var planar = 0
    for test in ConvolutionCase.drawn + ConvolutionCase.stems {
      let (x, parameters, dy) = try test.arrays()
      var layer = test.layer
      guard layer.canReadImages(FeatureShape(ofBatch: x)) else { continue }
      planar += 1
      let harness = try LayerHarness(layer, inputs: [x], parameters: parameters)
      layer.readsImages = true
      let reader = try LayerHarness(layer, inputs: [x], parameters: parameters)
      reader.inputIsPlanar = true
      for kernels in InstructionSet.available {
        (harness.kernels, reader.kernels) = (kernels, kernels)
        let expected = harness.run(outputGradient: dy)
        let result = reader.run(outputGradient: dy, inputGradientsWanted: [false])
        #expect(maxRelativeError(result.output, expected.output) < 3e-6, "y on \(kernels): \(test)")
        for (a, b) in zip(result.parameterGradients, expected.parameterGradients) {
          #expect(maxRelativeError(a, b) < 1e-5, "dWeight on \(kernels): \(test)")
        }
      }
    }
    #expect(planar >= ConvolutionCase.stems.count)
  }

  /// Each microbatch of a wave gets what it gets alone, to the bit: it is the leaf of a tree.
  @Test func microbatchesOfAWaveDoNotSeeEachOther() throws {
    let sizes = [2, 1, 3]
    for test in ConvolutionCase.drawn.prefix(40) + ConvolutionCase.wide {
      for choice in [ConvolutionChoice.auto, .blas, .direct] {
        var layer = test.layer
        layer.algorithm = choice
        let shape = test.input
        let x = Tensor.random([6, shape[1], shape[2], shape[3]], number: 1)
        let parameters = try test.arrays().parameters
        let wave = try LayerHarness(layer, inputs: [x], parameters: parameters)
        let y = wave.outputShape
        let dy = Tensor.random([6, y.channels, y.height, y.width], number: 9)
        wave.microbatches = sizes
        let result = wave.run(outputGradient: dy)
        var (outputs, gradients) = ([Float](), [Float]())
        for (number, images) in [0..<2, 2..<3, 3..<6].enumerated() {
          let alone = try LayerHarness(layer, inputs: [x.images(images)], parameters: parameters)
            .run(outputGradient: dy.images(images))
          let same = alone.leaves[0] == result.leaves[number]
          #expect(same, "\(choice), microbatch \(number) of \(test)")
          outputs += alone.output.values
          gradients += try #require(alone.inputGradients[0]).values
        }
        let sameOutputs = outputs == result.output.values
        let sameGradients = gradients == result.inputGradients[0]?.values
        #expect(sameOutputs, "y by \(choice) of \(test)")
        #expect(sameGradients, "dx by \(choice) of \(test)")
      }
    }
  }

  private func distance(_ a: Tensor, _ b: [Double]) -> Double {
    maxRelativeError(a.values, b.map(Float.init))
  }

  @Test func hasTheGradientOfItsForward() throws {
    let layers = [
      Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(1)),
      Conv2d(
        outputChannels: 4, kernel: Size2D(2, 3), stride: 2, padding: .explicit(1), dilation: 2, groups: 2),
      Conv2d(
        outputChannels: 8, kernel: 3, stride: Size2D(1, 2), padding: .explicit(1), groups: 4, bias: false),
      Conv2d(outputChannels: 3, kernel: Size2D(4, 2), padding: .same),
      Conv2d(outputChannels: 5, kernel: 1),
    ]
    for layer in layers {
      #expect(try gradientError(of: layer, inputs: [[3, 4, 7, 6]]) < 1e-4, "\(layer)")
    }
  }

  /// ⟨conv(x), dy⟩ = ⟨x, convᵀ(dy)⟩, and the same for the weights, in which it is linear, too.
  @Test func backwardIsTheAdjointOfForward() throws {
    for test in ConvolutionCase.drawn.prefix(40) where !test.layer.hasBias {
      let (x, parameters, dy) = try test.arrays()
      let result = try LayerHarness(test.layer, inputs: [x], parameters: parameters).run(outputGradient: dy)
      let product = dot(result.output, dy)
      let scale = (dot(result.output, result.output) * dot(dy, dy)).squareRoot()
      let dx = try #require(result.inputGradients[0])
      #expect(abs(product - dot(dx, x)) <= 1e-6 * scale, "\(test)")
      #expect(abs(product - dot(result.parameterGradients[0], parameters[0])) <= 1e-6 * scale, "\(test)")
    }
  }

  private func dot(_ a: Tensor, _ b: Tensor) -> Double {
    zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  /// An image moved by the stride gives an output moved by one, away from the borders.
  @Test func followsAShiftOfTheImage() throws {
    for groups in [1, 4] {
      let layer = Conv2d(outputChannels: 4, kernel: 3, stride: 2, padding: .explicit(1), groups: groups)
      let x = Tensor.random([2, 4, 16, 18], number: 1)
      var moved = Tensor(shape: x.shape)
      for plane in 0..<8 {
        for i in 2..<16 {
          for j in 2..<18 {
            moved.values[(plane * 16 + i) * 18 + j] = x.values[(plane * 16 + i - 2) * 18 + j - 2]
          }
        }
      }
      let parameters = [Tensor.random([4, 4 / groups, 3, 3], number: 2), Tensor.random([4], number: 3)]
      let y = try LayerHarness(layer, inputs: [x], parameters: parameters).run().output
      let yMoved = try LayerHarness(layer, inputs: [moved], parameters: parameters).run().output
      for plane in 0..<8 {
        for i in 2..<8 {
          for j in 2..<9 {
            let difference =
              yMoved.values[(plane * 8 + i) * 9 + j] - y.values[(plane * 8 + i - 1) * 9 + j - 1]
            #expect(abs(difference) < 1e-5)
          }
        }
      }
    }
  }

  /// conv(2x) = 2 conv(x) without a bias, to the bit: doubling is exact.
  @Test func isLinear() throws {
    for test in ConvolutionCase.drawn.prefix(40) where !test.layer.hasBias {
      let (x, parameters, _) = try test.arrays()
      let doubled = Tensor(shape: x.shape, values: x.values.map { 2 * $0 })
      let y = try LayerHarness(test.layer, inputs: [x], parameters: parameters).run().output
      let y2 = try LayerHarness(test.layer, inputs: [doubled], parameters: parameters).run().output
      #expect(y2.values == y.values.map { 2 * $0 }, "\(test)")
    }
  }

  @Test func leavesOutAnInputGradientThatNobodyWants() throws {
    for groups in [1, 3] {
      let layer = Conv2d(outputChannels: 3, kernel: 3, groups: groups)
      let x = Tensor.random([2, 3, 5, 5], number: 1)
      let dy = Tensor.random([2, 3, 3, 3], number: 2)
      let harness = try LayerHarness(layer, inputs: [x])
      let wanted = harness.run(outputGradient: dy)
      let unwanted = harness.run(outputGradient: dy, inputGradientsWanted: [false])
      #expect(unwanted.inputGradients == [nil])
      #expect(unwanted.parameterGradients == wanted.parameterGradients)
    }
  }

  @Test func declaresWhatPyTorchDeclares() throws {
    let layer = Conv2d(outputChannels: 6, kernel: Size2D(3, 2), groups: 2)
    let input = FeatureShape(channels: 4, height: 8, width: 8)
    let arrays = layer.parameters(for: [input])
    #expect(arrays.map(\.shape) == [[6, 2, 3, 2], [6]])
    // Fan-in 2·3·2 = 12; fan-out is the rows of the weight by the kernel's area, 6·3·2 = 36.
    #expect(
      arrays.map(\.initialisation) == Array(repeating: .uniform(bound: 1 / Float(12).squareRoot()), count: 2))
    var he = layer
    he.initialisation = .he
    let heArrays = he.parameters(for: [input])
    #expect(heArrays.map(\.initialisation) == [.normal(deviation: (2 / Float(36)).squareRoot()), .zeros])
    #expect(layer.multiplyAdds(for: [input]) == 6 * 6 * 7 * 2 * 6)
  }

  @Test func aForcedAlgorithmThatDoesNotFitIsRefused() throws {
    let input = FeatureShape(channels: 32, height: 8, width: 8)
    let fitting = Conv2d(outputChannels: 32, kernel: 3, padding: .explicit(1), algorithm: .winograd4)
    #expect(try fitting.outputShape(of: [input]).channels == 32)
    let strided = Conv2d(outputChannels: 32, kernel: 3, stride: 2, algorithm: .winograd5)
    let error = #expect(throws: LayerError.self) { try strided.outputShape(of: [input]) }
    #expect(
      error?.description
        == "winograd5 can't do a convolution of 32 to 32 channels with kernel (3, 3), stride (2, 2), "
        + "dilation (1, 1) and 1 group(s); auto, blas, direct can")
  }

  @Test(arguments: [
    (
      Conv2d(outputChannels: 4, kernel: 5),
      "reaches over (5, 5) expects images at least as large, got (4, 4, 6)"
    ),
    (Conv2d(outputChannels: 4, kernel: 3, dilation: 2), "reaches over (5, 5)"),
    (
      Conv2d(outputChannels: 4, kernel: 3, stride: 2, padding: .same), "\"same\" expects stride 1, got (2, 2)"
    ),
    (
      Conv2d(outputChannels: 6, kernel: 3, groups: 3),
      "3 groups expects a multiple of 3 input channels, got (4, 4, 6)"
    ),
    (
      Conv2d(outputChannels: 6, kernel: 3, groups: 4),
      "4 groups expects a multiple of 4 output channels, got 6"
    ),
    (Conv2d(outputChannels: 4, kernel: 0), "a kernel of at least 1, got (0, 0)"),
    (Conv2d(outputChannels: 4, kernel: 3, stride: 0), "strides of at least 1, got (0, 0)"),
    (Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(Size2D(0, -1))), "at least 0, got (0, -1)"),
    (Conv2d(outputChannels: 4, kernel: 3, dilation: Size2D(1, 0)), "dilations of at least 1, got (1, 0)"),
    (Conv2d(outputChannels: 0, kernel: 3), "at least 1 group and 1 output channel, got 1 and 0"),
  ])
  func refusesWhatDoesNotFit(layer: Conv2d, message: String) {
    let error = #expect(throws: LayerError.self) {
      try layer.outputShape(of: [FeatureShape(channels: 4, height: 4, width: 6)])
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "no error")")
  }
}
