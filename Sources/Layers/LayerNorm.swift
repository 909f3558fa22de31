import CKernels
import Tensors

/// Layer normalisation over the channels of each pixel (Ba et al. 2016, arXiv:1607.06450), as torchvision's
/// `LayerNorm2d`, and `nn.LayerNorm(C)` for a vector of C features:
///
/// `y = (x − μ) · 1/√(σ² + ε) · weight + bias` with mean μ and biased variance σ² of the pixel's C values, for
/// x (N, C, H, W); weight and bias (C). The same in training and inference.
package struct LayerNorm: Layer, Equatable {
  package let epsilon: Float
  /// Whether weight and bias are learned; otherwise they are 1 and 0.
  package let affine: Bool

  package init(epsilon: Float = 1e-5, affine: Bool = true) throws(LayerError) {
    guard epsilon >= 0, epsilon.isFinite else {
      throw LayerError("LayerNorm expects an eps of at least 0, got \(epsilon)")
    }
    self.epsilon = epsilon
    self.affine = affine
  }

  package var kind: String { "LayerNorm" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    affine ? ArrayDeclaration.affine(channels: inputs[0].channels) : []
  }

  /// Saved: mean and 1/√(σ² + ε) of each pixel.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.savedPerImage = 2 * inputs[0].area
    needs.backwardReadsInput = true
    needs.worksInPlace = true
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count }

  package func forward(_ pass: borrowing ForwardPass) {
    var affine = cnn_norm_affine(pass.parameters)
    var shape = cnn_norm_shape(x: cnn_blocked(pass.outputShape, pass.wave), epsilon: epsilon, groups: 1)
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.layer_forward(
      pass.output, pass.saved, pass.saved + pass.wave.images * pass.outputShape.area, pass.inputs[0],
      &affine, &shape)
  }

  /// With x̂ = (x − μ)/√(σ² + ε): `dbias = Σ dy`, `dweight = Σ dy·x̂` over the pixels of the microbatch.
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    guard affine else { return }
    var shape = cnn_norm_shape(
      x: cnn_blocked(pass.outputShape, pass.wave, microbatch: microbatch), epsilon: epsilon, groups: 1)
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.layer_sums(
      gradients[0], gradients[1], pass.outputGradient, pass.inputs[0], pass.saved,
      pass.saved + pass.wave.images * pass.outputShape.area, &shape)
  }

  /// With g = dy·weight: `dx = (g − mean g − x̂ · mean(g·x̂)) / √(σ² + ε)`, means over the pixel's channels.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var affine = cnn_norm_affine(pass.parameters)
    var shape = cnn_norm_shape(x: cnn_blocked(pass.outputShape, pass.wave), epsilon: epsilon, groups: 1)
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.layer_backward(
      dx, pass.outputGradient, pass.inputs[0], pass.saved,
      pass.saved + pass.wave.images * pass.outputShape.area, &affine, &shape)
  }
}

extension ArrayDeclaration {
  /// The learned weight (1 at first) and bias (0) of a norm.
  static func affine(channels: Int) -> [ArrayDeclaration] {
    [
      ArrayDeclaration("weight", [channels], .normScale, .plain, .ones),
      ArrayDeclaration("bias", [channels], .normShift, .plain, .zeros),
    ]
  }
}

extension cnn_norm_affine {
  /// Of a layer's parameters, weight and bias or none.
  init(_ parameters: [UnsafePointer<Float>]) {
    if parameters.isEmpty { self.init() } else { self.init(weight: parameters[0], bias: parameters[1]) }
  }
}
