import CKernels
import Tensors

/// `y[n,c,i,j] = γ[c] · x[n,c,i,j]` with a learned γ, `layer_scale` (C, 1, 1), which begins small: what ConvNeXt
/// puts at the end of a residual branch. Touvron et al. 2021, arXiv:2103.17239.
package struct LayerScale: Layer, Equatable {
  /// What each γ begins with.
  package let initialValue: Float

  package init(initialValue: Float = 1e-6) throws(LayerError) {
    guard initialValue.isFinite else {
      throw LayerError("LayerScale expects a finite initial value, got \(initialValue)")
    }
    self.initialValue = initialValue
  }

  package var kind: String { "LayerScale" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    [
      ArrayDeclaration(
        "layer_scale", [inputs[0].channels, 1, 1], .normScale, .plain, .constant(initialValue))
    ]
  }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsInput = true
    needs.worksInPlace = true
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    cnn_scaling_kernels_for(pass.kernels.kernelTable).pointee
      .channels(pass.output, pass.inputs[0], pass.parameters[0], &shape)
  }

  /// `dγ[c]` = Σ dy · x over images and pixels.
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    var shape = cnn_blocked(pass.outputShape, pass.wave, microbatch: microbatch)
    cnn_scaling_kernels_for(pass.kernels.kernelTable).pointee
      .channels_gradient(gradients[0], pass.outputGradient, pass.inputs[0], &shape)
  }

  /// `dx = γ · dy`.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    cnn_scaling_kernels_for(pass.kernels.kernelTable).pointee
      .channels(dx, pass.outputGradient, pass.parameters[0], &shape)
  }
}
