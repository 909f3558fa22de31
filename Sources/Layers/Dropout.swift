import CKernels
import Tensors

/// Inverted dropout (Srivastava et al. 2014): in training `y = x · m / (1 − p)` with m = 0 with
/// probability p and 1 otherwise; in inference `y = x`.
///
/// Element e = (c·H + h)·W + w of the image at position P of the epoch is kept when the uniform number e
/// of `RandomStream(seed, .dropout(layer: number), epoch, position: P)` is at least p: the same
/// whatever microbatch, lane or rank the image falls to. Backward makes the mask anew.
package struct Dropout: Layer {
  package let probability: Float
  /// Which dropout of the network this is.
  package let number: Int

  package init(probability: Float = 0.5, number: Int) throws(LayerError) {
    guard (0...1).contains(probability) else {
      throw LayerError("Dropout expects a probability from 0 to 1, got \(probability)")
    }
    self.probability = probability
    self.number = number
  }

  package var kind: String { "Dropout" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.worksInPlace = true
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    switch pass.mode {
    case .training:
      apply(to: pass.inputs[0], pass.output, pass.outputShape, pass.wave, pass.kernels)
    case .inference:
      guard UnsafePointer(pass.output) != pass.inputs[0] else { return }
      pass.output.update(from: pass.inputs[0], count: pass.wave.images * pass.outputShape.blockedCount)
    }
  }

  /// `dx = dy · m / (1 − p)`.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    apply(to: pass.outputGradient, dx, pass.outputShape, pass.wave, pass.kernels)
  }

  private func apply(
    to x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ feature: FeatureShape, _ wave: Wave,
    _ kernels: InstructionSet
  ) {
    let apply = cnn_dropout_kernels_for(kernels.kernelTable).pointee.apply
    for (microbatch, place) in wave.places.enumerated() {
      let images = RandomStream(
        seed: place.seed, purpose: .dropout(layer: number), epoch: place.epoch, position: place.firstPosition)
      var stream = images.philox
      var shape = cnn_blocked(feature, wave, microbatch: microbatch)
      apply?(y, x, &stream, probability, &shape)
    }
  }
}
