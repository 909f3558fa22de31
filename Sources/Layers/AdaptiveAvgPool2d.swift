import CKernels
import Tensors

/// The mean over windows that divide the input into a given number of rows and columns:
/// window i of O covers rows ⌊i·I/O⌋ up to ⌈(i + 1)·I/O⌉, columns likewise; output 1 is the global mean.
package struct AdaptiveAvgPool2d: Layer {
  package let output: Size2D

  package init(output: Size2D = 1) { self.output = output }

  package var kind: String { "AdaptiveAvgPool2d" }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard output.height > 0 && output.width > 0 else {
      throw LayerError("\(kind) expects an output of at least (1, 1), got \(output)")
    }
    return FeatureShape(channels: inputs[0].channels, height: output.height, width: output.width)
  }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    MemoryNeeds()
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = shape(pass.inputShapes[0], images: pass.wave.images)
    cnn_pooling_kernels_for(pass.kernels.kernelTable).pointee.adaptive_forward(
      pass.output, pass.inputs[0], &shape)
  }

  /// `dx` at each element is the sum of dy / (size of the window) over the windows that hold it.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = shape(pass.inputShapes[0], images: pass.wave.images)
    cnn_pooling_kernels_for(pass.kernels.kernelTable).pointee.adaptive_backward(
      dx, pass.outputGradient, &shape)
  }

  private func shape(_ input: FeatureShape, images: Int) -> cnn_pooling_shape {
    var shape = cnn_pooling_shape()
    shape.planes = input.blocks * images
    (shape.ih, shape.iw) = (input.height, input.width)
    (shape.oh, shape.ow) = (output.height, output.width)
    return shape
  }
}
