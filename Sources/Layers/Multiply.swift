import CKernels
import Tensors

/// `y[n,c,i,j] = x[n,c,i,j] · s[n,c]` for x (N, C, H, W) and s (N, C, 1, 1): what squeeze-and-excitation
/// does with its gates (Hu et al. 2018, arXiv:1709.01507).
package struct Multiply: Layer, Equatable {
  package init() {}

  package var kind: String { "Multiply" }
  package var inputCount: Int? { 2 }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard inputs[1] == FeatureShape(channels: inputs[0].channels) else {
      throw LayerError(
        "Multiply expects a factor for each channel, (\(inputs[0].channels), 1, 1) for \(inputs[0]), "
          + "got \(inputs[1])")
    }
    return inputs[0]
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
      .multiply(pass.output, pass.inputs[0], pass.inputs[1], &shape)
  }

  /// `dx = dy · s`, `ds[n,c]` = Σ dy · x over the pixels of image n, in their order.
  package func backwardData(_ pass: borrowing BackwardPass) {
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    cnn_scaling_kernels_for(pass.kernels.kernelTable).pointee.multiply_backward(
      pass.inputGradients[0], pass.inputGradients[1], pass.outputGradient, pass.inputs[0], pass.inputs[1],
      &shape)
  }
}
