import CKernels
import Tensors

/// `y[n,c,i,j] = 1/D · Σ over a, b of x[n, c, i·s + a − p, j·s + b − p]` for a, b inside the window and the
/// input. D is the number of elements of the window that lie inside the padded input, or with
/// `countIncludePad` false inside the input; what ceil mode adds beyond the padding never counts.
package struct AvgPool2d: Layer {
  package let window: PoolingWindow
  package let countIncludePad: Bool

  /// Stride defaults to the kernel.
  package init(
    kernel: Size2D, stride: Size2D? = nil, padding: Size2D = 0, ceilMode: Bool = false,
    countIncludePad: Bool = true
  ) {
    window = PoolingWindow(
      kernel: kernel, stride: stride ?? kernel, padding: padding, dilation: 1, ceilMode: ceilMode)
    self.countIncludePad = countIncludePad
  }

  package var kind: String { "AvgPool2d" }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    try window.outputShape(of: inputs[0], layer: kind)
  }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    MemoryNeeds()
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int {
    guard let output = try? outputShape(of: inputs) else { return 0 }
    return output.count * window.kernel.height * window.kernel.width
  }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = shape(pass.inputShapes[0], pass.outputShape, images: pass.wave.images)
    cnn_pooling_kernels_for(pass.kernels.kernelTable).pointee.average_forward(
      pass.output, pass.inputs[0], &shape)
  }

  /// `dx` at each element is the sum of dy/D over the windows that hold it.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = shape(pass.inputShapes[0], pass.outputShape, images: pass.wave.images)
    cnn_pooling_kernels_for(pass.kernels.kernelTable).pointee.average_backward(
      dx, pass.outputGradient, &shape)
  }

  private func shape(_ input: FeatureShape, _ output: FeatureShape, images: Int) -> cnn_pooling_shape {
    window.shape(input, output, images: images, countIncludePad: countIncludePad)
  }
}
