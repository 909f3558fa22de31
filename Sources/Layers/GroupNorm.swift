import CKernels
import Tensors

/// Group normalisation (Wu & He 2018, arXiv:1803.08494), as `nn.GroupNorm`:
///
/// `y = (x − μ) · 1/√(σ² + ε) · weight + bias` with mean μ and biased variance σ² of the C/G · H · W values of
/// an image in a group of neighbouring channels, for x (N, C, H, W), G groups; weight and bias (C). One group
/// is layer norm over the whole image, C groups are instance norm.
package struct GroupNorm: Layer, Equatable {
  package let groups: Int
  package let epsilon: Float
  /// Whether weight and bias are learned; otherwise they are 1 and 0.
  package let affine: Bool

  package init(groups: Int, epsilon: Float = 1e-5, affine: Bool = true) throws(LayerError) {
    guard groups >= 1 else { throw LayerError("GroupNorm expects at least 1 group, got \(groups)") }
    guard epsilon >= 0, epsilon.isFinite else {
      throw LayerError("GroupNorm expects an eps of at least 0, got \(epsilon)")
    }
    self.groups = groups
    self.epsilon = epsilon
    self.affine = affine
  }

  package var kind: String { "GroupNorm" }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard inputs[0].channels % groups == 0 else {
      throw LayerError(
        "GroupNorm with \(groups) groups expects a multiple of \(groups) channels, got \(inputs[0])")
    }
    return inputs[0]
  }

  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    affine ? ArrayDeclaration.affine(channels: inputs[0].channels) : []
  }

  /// Saved, for each channel of each image: mean and 1/√(σ² + ε) of its group; by backward Σ dy and Σ dy·x̂.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.savedPerImage = 4 * 16 * inputs[0].blocks
    needs.backwardReadsInput = true
    needs.worksInPlace = true
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count }

  package func forward(_ pass: borrowing ForwardPass) {
    var affine = cnn_norm_affine(pass.parameters)
    var shape = shape(cnn_blocked(pass.outputShape, pass.wave))
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.group_forward(
      pass.output, pass.saved, row(1, pass.saved, pass.outputShape, pass.wave), pass.inputs[0], &affine,
      &shape)
  }

  /// `dbias = Σ dy`, `dweight = Σ dy·x̂` over the microbatch, from the sums of each image, which stay for
  /// `backwardData`.
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    guard affine else { return }
    var shape = shape(cnn_blocked(pass.outputShape, pass.wave, microbatch: microbatch))
    sum(pass, &shape)
    let x = pass.outputShape
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.group_parameters(
      gradients[0], gradients[1], row(2, pass.saved, x, pass.wave), row(3, pass.saved, x, pass.wave), &shape)
  }

  /// With g = dy·weight: `dx = (g − mean g − x̂ · mean(g·x̂)) / √(σ² + ε)`, means over image and group.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var affine = cnn_norm_affine(pass.parameters)
    let x = pass.outputShape
    var shape = shape(cnn_blocked(x, pass.wave))
    if !self.affine { sum(pass, &shape) }
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.group_backward(
      dx, pass.outputGradient, pass.inputs[0], pass.saved, row(1, pass.saved, x, pass.wave),
      row(2, pass.saved, x, pass.wave), row(3, pass.saved, x, pass.wave), &affine, &shape)
  }

  private func sum(_ pass: borrowing BackwardPass, _ shape: inout cnn_norm_shape) {
    let x = pass.outputShape
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee.group_sums(
      row(2, pass.saved, x, pass.wave), row(3, pass.saved, x, pass.wave), pass.outputGradient,
      pass.inputs[0], pass.saved, row(1, pass.saved, x, pass.wave), &shape)
  }

  /// Array `number` of what is saved.
  private func row(
    _ number: Int, _ saved: UnsafeMutablePointer<Float>, _ x: FeatureShape, _ wave: borrowing Wave
  ) -> UnsafeMutablePointer<Float> {
    saved + number * 16 * x.blocks * wave.images
  }

  private func shape(_ x: cnn_blocked) -> cnn_norm_shape {
    cnn_norm_shape(x: x, epsilon: epsilon, groups: groups)
  }
}
