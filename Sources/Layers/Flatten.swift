import CKernels
import Tensors

/// Turns images into vectors, as PyTorch's `nn.Flatten`: (C, N, H, W) → (C·H·W, N), features in the
/// order (C, H, W). For each channel that is a transposition of (N × H·W).
package struct Flatten: Layer, Equatable {
  package init() {}

  package var kind: String { "Flatten" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape {
    FeatureShape(channels: inputs[0].count)
  }

  package func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds { MemoryNeeds() }

  package func forward(_ pass: borrowing ForwardPass) {
    let x = pass.inputShapes[0]
    if x.area == 1 {
      pass.output.update(from: pass.inputs[0], count: x.channels * pass.images)
    } else {
      cnn_transpose_kernels_for(pass.kernels.kernelTable).pointee
        .transpose(pass.output, pass.inputs[0], x.channels, pass.images, x.area)
    }
  }

  package func backward(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    let x = pass.inputShapes[0]
    if x.area == 1 {
      dx.update(from: pass.outputGradient, count: x.channels * pass.images)
    } else {
      cnn_transpose_kernels_for(pass.kernels.kernelTable).pointee
        .transpose(dx, pass.outputGradient, x.channels, x.area, pass.images)
    }
  }
}
