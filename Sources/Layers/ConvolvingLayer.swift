import CKernels
import Tensors

/// A layer that is computed as a convolution: `Conv2d`, and `Linear`, whose kernel covers its input.
package protocol ConvolvingLayer: Layer {
  /// What is asked of it, and what it takes of that: a forced algorithm is meant for convolutions alone.
  var algorithm: ConvolutionChoice { get set }
  var choice: ConvolutionChoice { get }
  /// The algorithms that were measured to be fastest, in the place of the rule's; nil where none were.
  var measured: PassAlgorithms? { get set }
  var precision: Precision { get set }
  var hasBias: Bool { get }
  /// What its forward pass ends with.
  var following: Following { get }
  /// For `images` images of a shape that it accepts.
  func convolutionShape(images: Int, input: FeatureShape) -> ConvolutionShape
}

extension ConvolvingLayer {
  func convolution(images: Int, input: FeatureShape, _ kernels: InstructionSet) -> Convolution {
    Convolution(
      convolutionShape(images: images, input: input), choice, precision, measured: measured, kernels)
  }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    let convolution = convolution(images: images, input: inputs[0], kernels)
    needs.backwardReadsInput = true
    needs.prepared = convolution.preparedCount
    needs.preparedForBackward = convolution.preparedCountForBackward
    needs.scratch = convolution.scratchCount + (following == .reluThenMaxPool ? convolution.unpooledCount : 0)
    return needs
  }

  package func algorithms(for inputs: [FeatureShape], kernels: InstructionSet) -> [String] {
    convolution(images: 1, input: inputs[0], kernels).algorithmNames
  }

  /// Throws where an algorithm that is said to have been measured is none, or can't do the shape.
  package func checkMeasured(for input: FeatureShape) throws(LayerError) {
    guard let measured else { return }
    try Convolution.check(convolutionShape(images: 1, input: input), measured)
  }

  package func prepare(
    _ prepared: UnsafeMutablePointer<Float>, parameters: [UnsafePointer<Float>], inputs: [FeatureShape],
    mode: Mode, kernels: InstructionSet
  ) {
    convolution(images: 1, input: inputs[0], kernels).prepare(prepared, weight: parameters[0], mode: mode)
  }

  package func forward(_ pass: borrowing ForwardPass) {
    precondition(
      pass.inputIsPlanar == readsImages(pass.inputShapes[0]),
      "\(kind) expects images planar only where it says so")
    convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
      .forward(
        y: pass.output, x: pass.inputs[0], weight: pass.parameters[0],
        ending: cnn_conv_ending(
          bias: hasBias ? pass.parameters[1] : nil,
          residual: following.adds ? pass.inputs[1] : nil, relu: following.endsInReLU,
          pool: following == .reluThenMaxPool, activation: following.function),
        wave: pass.wave, prepared: pass.prepared, scratch: pass.scratch)
  }

  /// dW from x and dy, dBias = Σ dy over images and places.
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    precondition(following == .nothing, "\(kind) goes backward only where nothing follows in the same pass")
    let images = pass.wave.microbatches[microbatch]
    convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
      .backwardWeights(
        dWeight: gradients[0], x: pass.inputs[0], dy: pass.outputGradient, images: images,
        scratch: pass.scratch)
    guard hasBias else { return }
    BiasGradient.compute(
      gradients[1], from: pass.outputGradient, pass.outputShape, pass.wave, microbatch: microbatch,
      kernels: pass.kernels)
  }

  /// dx from dy and W.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
      .backwardData(
        dx: dx, dy: pass.outputGradient, weight: pass.parameters[0], wave: pass.wave, prepared: pass.prepared,
        scratch: pass.scratch)
  }
}
