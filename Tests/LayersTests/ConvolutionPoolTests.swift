import Layers
import Tensors
import Testing

/// Convolution, ReLU and max pooling over 2×2 in one pass.
struct ConvolutionPoolTests {
  /// relu, then the max over windows of 2×2 by PyTorch's rule: a later value wins if it is greater or NaN.
  private func pooled(_ y: Tensor) -> Tensor {
    let (height, width) = (y.shape[2], y.shape[3])
    var values: [Float] = []
    for plane in 0..<(y.shape[0] * y.shape[1]) {
      for i in 0..<(height / 2) {
        for j in 0..<(width / 2) {
          var best: Float?
          for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let value = y.values[(plane * height + 2 * i + a) * width + 2 * j + b]
            let positive = value < 0 ? 0 : value
            if best.map({ positive > $0 || positive.isNaN }) ?? true { best = positive }
          }
          values.append(best ?? 0)
        }
      }
    }
    return Tensor(shape: [y.shape[0], y.shape[1], height / 2, width / 2], values: values)
  }

  @Test(arguments: InstructionSet.available)
  func givesTheBitsOfThreeLayers(kernels: InstructionSet) throws {
    var algorithms: Set<String> = []
    for test in ConvolutionCase.drawn + ConvolutionCase.stems + ConvolutionCase.wide {
      let (x, drawn, dy) = try test.arrays()
      guard dy.shape[2] > 1, dy.shape[3] > 1 else { continue }
      var parameters = drawn
      // A channel of NaN stays one.
      if parameters.count > 1 { parameters[1].values[parameters[1].values.count - 1] = .nan }
      let shape = FeatureShape(ofBatch: x)
      for choice in ConvolutionChoice.allCases {
        for precision in [Precision.fp32, .bf16] where choice == .auto || precision == .fp32 {
          var layer = test.layer
          (layer.algorithm, layer.precision) = (choice, precision)
          guard (try? layer.outputShape(of: [shape])) != nil else { continue }
          layer.readsImages = layer.canReadImages(shape)
          let plain = try LayerHarness(layer, inputs: [x], parameters: parameters)
          layer.following = .reluThenMaxPool
          let pooling = try LayerHarness(layer, inputs: [x], parameters: parameters)
          for harness in [plain, pooling] {
            (harness.kernels, harness.inputIsPlanar) = (kernels, layer.readsImages)
          }
          let expected = pooled(plain.run(mode: .inference).output)
          let got = pooling.run(mode: .inference).output
          #expect(got.shape == expected.shape)
          let same = zip(got.values, expected.values).allSatisfy {
            $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN)
          }
          #expect(same, "\(choice), \(precision) of \(test)")
          algorithms.insert(layer.algorithms(for: [shape], kernels: kernels)[0])
        }
      }
    }
    #expect(algorithms.isSuperset(of: ["stem", "winograd2", "winograd4", "winograd5", "direct", "blas", "bf16"]))
  }
}
