import CKernels
import Tensors

/// `y[n,c,i,j] = max over a, b of x[n, c, i·s + a·d − p, j·s + b·d − p]` for a, b inside the window and
/// the input. Of equal values the first in row order wins the gradient; a NaN wins over all.
package struct MaxPool2d: Layer, Equatable {
  package let window: PoolingWindow

  /// Stride defaults to the kernel.
  package init(
    kernel: Size2D, stride: Size2D? = nil, padding: Size2D = 0, dilation: Size2D = 1,
    ceilMode: Bool = false
  ) {
    window = PoolingWindow(
      kernel: kernel, stride: stride ?? kernel, padding: padding, dilation: dilation, ceilMode: ceilMode)
  }

  package var kind: String { "MaxPool2d" }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    // The winner's row and column in the window are kept in eight bits each.
    guard window.kernel.height <= 256 && window.kernel.width <= 256 else {
      throw LayerError("\(kind) expects a kernel of at most (256, 256), got \(window.kernel)")
    }
    return try window.outputShape(of: inputs[0], layer: kind)
  }

  /// Saved: the winner of each window, sixteen bits.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    guard let output = try? outputShape(of: inputs) else { return needs }
    needs.savedPerImage = output.blockedCount / 2
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = window.shape(pass.inputShapes[0], pass.outputShape, images: pass.wave.images)
    let winner = pass.mode == .training ? UnsafeMutableRawPointer(pass.saved) : nil
    cnn_pooling_kernels_for(pass.kernels.kernelTable).pointee.max_forward(
      pass.output, winner?.assumingMemoryBound(to: UInt16.self), pass.inputs[0], &shape)
  }

  /// `dx` at each element is the sum of dy over the windows that it won.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = window.shape(pass.inputShapes[0], pass.outputShape, images: pass.wave.images)
    cnn_pooling_kernels_for(pass.kernels.kernelTable).pointee.max_backward(
      dx, pass.outputGradient, UnsafeRawPointer(pass.saved).assumingMemoryBound(to: UInt16.self), &shape)
  }
}
