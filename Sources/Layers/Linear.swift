import CKernels
import Tensors

/// A fully connected layer, as PyTorch's `nn.Linear`: y = W · x + bias for x (N, F), W (O, F), y (N, O).
///
/// It is a convolution whose kernel covers the input, so it can read (C, H, W) as well as the vector
/// that a Flatten makes of it: the weights lie by (H, W) then C, and nothing is transposed.
package struct Linear: Layer, Equatable {
  package var outputFeatures: Int
  package var hasBias: Bool
  package var initialisation: WeightInitialisation
  package var algorithm: ConvolutionChoice
  package var precision = Precision.fp32
  /// Whether it reads images (C, H, W) as the vector of F = C·H·W features that `Flatten` would make.
  package var flattens = false

  package init(
    outputFeatures: Int, bias: Bool = true, initialisation: WeightInitialisation = .pytorch,
    algorithm: ConvolutionChoice = .auto
  ) {
    self.outputFeatures = outputFeatures
    hasBias = bias
    self.initialisation = initialisation
    self.algorithm = algorithm
  }

  package var kind: String { "Linear" }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard flattens || inputs[0].area == 1 else {
      throw LayerError(
        "Linear expects a vector (F, 1, 1), got \(inputs[0]): a Flatten before it would make one")
    }
    guard outputFeatures >= 1 else {
      throw LayerError("Linear expects at least 1 output feature, got \(outputFeatures)")
    }
    return FeatureShape(channels: outputFeatures)
  }

  /// `weight` (O, F), then `bias` (O).
  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    let features = inputs[0].count
    let weight = ArrayDeclaration(
      "weight", [outputFeatures, features], .weight, .panels(taps: inputs[0].area),
      initialisation.weight(fanIn: features, fanOut: outputFeatures))
    guard hasBias else { return [weight] }
    let bias = initialisation.bias(fanIn: features)
    return [weight, ArrayDeclaration("bias", [outputFeatures], .bias, .plain, bias)]
  }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    let convolution = convolution(images: images, input: inputs[0], kernels)
    needs.backwardReadsInput = true
    needs.prepared = convolution.preparedCount
    needs.preparedForBackward = convolution.preparedCountForBackward
    needs.scratch = convolution.scratchCount
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count * outputFeatures }

  package func algorithms(for inputs: [FeatureShape], kernels: InstructionSet) -> [String] {
    convolution(images: 1, input: inputs[0], kernels).algorithmNames
  }

  package func prepare(
    _ prepared: UnsafeMutablePointer<Float>, parameters: [UnsafePointer<Float>], inputs: [FeatureShape],
    mode: Mode, kernels: InstructionSet
  ) {
    convolution(images: 1, input: inputs[0], kernels).prepare(prepared, weight: parameters[0], mode: mode)
  }

  package func forward(_ pass: borrowing ForwardPass) {
    convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
      .forward(
        y: pass.output, x: pass.inputs[0], weight: pass.parameters[0],
        ending: cnn_conv_ending(bias: hasBias ? pass.parameters[1] : nil, residual: nil, relu: false, pool: false),
        wave: pass.wave, prepared: pass.prepared,
        scratch: pass.scratch)
  }

  /// dW = dyᵀ · x, dBias = Σₙ dy.
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    let images = pass.wave.microbatches[microbatch]
    convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
      .backwardWeights(
        dWeight: gradients[0], x: pass.inputs[0], dy: pass.outputGradient, images: images,
        scratch: pass.scratch)
    guard hasBias else { return }
    BiasGradient.compute(
      gradients[1], from: pass.outputGradient, pass.outputShape, pass.wave, microbatch: microbatch,
      kernels: pass.kernels)
  }

  /// dx = dy · W.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
      .backwardData(
        dx: dx, dy: pass.outputGradient, weight: pass.parameters[0], wave: pass.wave, prepared: pass.prepared,
        scratch: pass.scratch)
  }

  private func convolution(images: Int, input: FeatureShape, _ kernels: InstructionSet) -> Convolution {
    let shape = ConvolutionShape(
      n: images, ic: input.channels, ih: input.height, iw: input.width, oc: outputFeatures, oh: 1, ow: 1,
      kh: input.height, kw: input.width, sh: 1, sw: 1, ph: 0, pw: 0, dh: 1, dw: 1, groups: 1, first: 0,
      images: images, planar: false)
    // A forced algorithm is meant for convolutions.
    return Convolution(shape, algorithm == .blas ? .blas : .auto, precision, kernels)
  }
}
