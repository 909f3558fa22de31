import CKernels
import Tensors

/// `y[c] = e^x[c] / Σ e^x[j]` over the channels of each pixel, as `nn.Softmax(dim=1)`. Training needs none at the
/// end of a network: its loss, cross-entropy, takes scores.
package struct Softmax: Layer, Equatable {
  package init() {}

  package var kind: String { "Softmax" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsOutput = true
    needs.worksInPlace = true
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee
      .softmax_forward(pass.output, pass.inputs[0], &shape)
  }

  /// `dx = y · (dy − Σ dy·y)`.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee
      .softmax_backward(dx, pass.outputGradient, pass.output, &shape)
  }
}
