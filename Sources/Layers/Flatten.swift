import CKernels
import Tensors

/// Turns images into vectors, as PyTorch's `nn.Flatten`: (C, H, W) → C·H·W features in this order.
package struct Flatten: Layer, Equatable {
  package init() {}

  package var kind: String { "Flatten" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape {
    FeatureShape(channels: inputs[0].count)
  }

  /// Scratch: a block of channels of one image.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.scratch = inputs[0].area > 1 ? 16 * inputs[0].area : 0
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    let x = pass.inputShapes[0]
    if x.area == 1 {
      pass.output.update(from: pass.inputs[0], count: pass.wave.images * x.blockedCount)
    } else {
      var shape = cnn_blocked(x, pass.wave)
      cnn_transpose_kernels_for(pass.kernels.kernelTable).pointee
        .flatten(pass.output, pass.inputs[0], &shape, pass.scratch)
    }
  }

  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    let x = pass.inputShapes[0]
    if x.area == 1 {
      dx.update(from: pass.outputGradient, count: pass.wave.images * x.blockedCount)
    } else {
      var shape = cnn_blocked(x, pass.wave)
      cnn_transpose_kernels_for(pass.kernels.kernelTable).pointee
        .unflatten(dx, pass.outputGradient, &shape, pass.scratch)
    }
  }
}
