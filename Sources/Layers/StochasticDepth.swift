import CKernels
import Tensors

/// Stochastic depth by rows, as torchvision's `StochasticDepth(p, "row")`: in training the branch of an image
/// is dropped with probability p and otherwise divided by 1 − p, `y = x · m / (1 − p)`; in inference `y = x`.
/// Huang et al. 2016, arXiv:1603.09382.
///
/// The image at position P of the epoch is kept when uniform number 0 of `RandomStream(seed,
/// .stochasticDepth(layer: number), epoch, position: P)` is at least p: the same whatever microbatch, lane or
/// rank it falls to. Backward draws it anew.
package struct StochasticDepth: Layer, Equatable {
  package let probability: Float
  /// Which of the network's it is.
  package let number: Int

  package init(probability: Float, number: Int) throws(LayerError) {
    guard (0...1).contains(probability) else {
      throw LayerError("StochasticDepth expects a probability from 0 to 1, got \(probability)")
    }
    self.probability = probability
    self.number = number
  }

  package var kind: String { "StochasticDepth" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.worksInPlace = true
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    switch pass.mode {
    case .training: apply(to: pass.inputs[0], pass.output, pass.outputShape, pass.wave, pass.kernels)
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
    to x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ feature: FeatureShape,
    _ wave: borrowing Wave, _ kernels: InstructionSet
  ) {
    let scale = cnn_scaling_kernels_for(kernels.kernelTable).pointee.images
    for microbatch in wave.places.indices {
      let (place, images) = (wave.places[microbatch], wave.microbatches[microbatch])
      for image in images {
        let random = RandomStream(
          seed: place.seed, purpose: .stochasticDepth(layer: number), epoch: place.epoch,
          position: place.firstPosition + image - images.lowerBound)
        let kept = random.uniform(at: 0) >= probability
        var shape = cnn_blocked(feature, n: wave.images, images: image..<(image + 1))
        scale?(y, x, kept ? 1 / (1 - probability) : 0, &shape)
      }
    }
  }
}
