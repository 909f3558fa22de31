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
    needs.onlyParametersReadInput = true
    needs.prepared = convolution.preparedCount
    needs.preparedForBackward = convolution.preparedCountForBackward
    needs.scratch = convolution.scratchCount + (following == .reluThenMaxPool ? convolution.unpooledCount : 0)
    needs.partOfOutputGradient = convolution.parts
    needs.partScratch = convolution.partCount
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
    let convolution = convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
    if let write = pass.partOfOutputGradient {
      return goThroughParts(of: microbatch, pass, convolution, write, gradients: gradients)
    }
    convolution.backwardWeights(
      dWeight: gradients[0], x: pass.inputs[0], dy: pass.outputGradient, images: images, scratch: pass.scratch
    )
    guard hasBias else { return }
    BiasGradient.compute(
      gradients[1], from: pass.outputGradient, pass.outputShape, n: pass.wave.images, images: images,
      kernels: pass.kernels)
  }

  /// The same where dy is written part by part: scratch begins with sums of the bias in double, and a part.
  private func goThroughParts(
    of microbatch: Int, _ pass: borrowing BackwardPass, _ convolution: Convolution,
    _ write: BackwardPass.GradientPart, gradients: [UnsafeMutablePointer<Float>]
  ) {
    let images = pass.wave.microbatches[microbatch]
    let (sums, dy) = (pass.scratch, pass.scratch + convolution.biasSumsCount)
    for first in stride(from: images.lowerBound, to: images.upperBound, by: convolution.parts) {
      let part = first..<min(first + convolution.parts, images.upperBound)
      let isFirst = first == images.lowerBound
      write(microbatch, part, dy)
      convolution.backwardWeights(
        part: part, isFirst: isFirst, dWeight: gradients[0], x: pass.inputs[0], dy: dy,
        scratch: pass.scratch + convolution.partCount)
      guard hasBias else { continue }
      BiasGradient.go(
        on: sums, isFirst: isFirst, gradients[1], from: dy, pass.outputShape, images: part.count,
        kernels: pass.kernels)
    }
  }

  package func sumParameterGradients(
    _ pass: borrowing BackwardPass, microbatches: Range<Int>, into sums: [UnsafeMutablePointer<Float>]
  ) -> Bool {
    guard pass.partOfOutputGradient == nil, microbatches.count <= CNN_LEAVES else { return false }
    let convolution = convolution(images: pass.wave.images, input: pass.inputShapes[0], pass.kernels)
    return withUnsafeTemporaryAllocation(of: Int.self, capacity: microbatches.count + 1) { first in
      first.initializeElement(at: 0, to: pass.wave.microbatches[microbatches.lowerBound].lowerBound)
      for (leaf, microbatch) in microbatches.enumerated() {
        first.initializeElement(at: leaf + 1, to: pass.wave.microbatches[microbatch].upperBound)
      }
      var leaves = cnn_leaves(count: microbatches.count, first: first.baseAddress)
      guard
        convolution.backwardWeights(
          tree: &leaves, dWeight: sums[0], x: pass.inputs[0], dy: pass.outputGradient, scratch: pass.scratch)
      else { return false }
      if hasBias {
        var shape = cnn_blocked(pass.outputShape, n: pass.wave.images, images: 0..<pass.wave.images)
        cnn_bias_kernels_for(pass.kernels.kernelTable).pointee
          .gradient_of_tree(sums[1], pass.outputGradient, &shape, &leaves)
      }
      return true
    }
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
