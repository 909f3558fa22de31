import CKernels
import Tensors

/// An element-wise function that another layer can do in its own pass over memory.
package enum Activation: Sendable { case relu }

/// `y = max(0, x)`, element by element; a NaN stays one, as in PyTorch.
package struct ReLU: Layer {
  package init() {}

  package var kind: String { "ReLU" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsOutput = true
    needs.worksInPlace = true
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    cnn_elementwise_kernels_for(pass.kernels.kernelTable).pointee.relu(
      pass.output, pass.inputs[0], pass.wave.images * pass.outputShape.blockedCount)
  }

  /// `dx = dy` where y > 0, otherwise 0.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    cnn_elementwise_kernels_for(pass.kernels.kernelTable).pointee.relu_gradient(
      dx, pass.outputGradient, pass.output, pass.wave.images * pass.outputShape.blockedCount)
  }
}
