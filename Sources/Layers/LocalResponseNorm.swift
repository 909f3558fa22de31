import CKernels
import Tensors

/// Local response normalisation across channels (Krizhevsky et al. 2012), as `nn.LocalResponseNorm`:
///
/// `y[c] = x[c] · (k + α/size · Σ x[j]²)^−β`, j from c − ⌊size/2⌋ to c + ⌊(size − 1)/2⌋ where such channels exist.
package struct LocalResponseNorm: Layer, Equatable {
  package let size: Int
  package let alpha: Float
  package let beta: Float
  package let k: Float

  package init(size: Int, alpha: Float = 1e-4, beta: Float = 0.75, k: Float = 1) throws(LayerError) {
    guard size >= 1 else { throw LayerError("LocalResponseNorm expects a size of at least 1, got \(size)") }
    // The base of the power must be a normal number above 0 whatever x.
    guard k >= Float.leastNormalMagnitude, k.isFinite, alpha >= 0, alpha.isFinite, beta.isFinite else {
      throw LayerError(
        "LocalResponseNorm expects k above 0, alpha of at least 0 and a finite beta, got \(k), \(alpha), \(beta)"
      )
    }
    self.size = size
    self.alpha = alpha
    self.beta = beta
    self.k = k
  }

  package var kind: String { "LocalResponseNorm" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  /// Scratch: the channels of a pixel.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    var shape = shape(cnn_blocked(inputs[0], n: images, images: 0..<images))
    needs.scratch = cnn_response_scratch(&shape)
    needs.backwardReadsInput = true
    needs.worksInPlace = true
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count * size }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = shape(cnn_blocked(pass.outputShape, pass.wave))
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee
      .response_forward(pass.output, pass.inputs[0], &shape, pass.scratch)
  }

  /// With d[c] the base of the power: `dx[c] = dy[c]·d[c]^−β − 2αβ/size · x[c] · Σ dy[j]·x[j]·d[j]^(−β−1)` over
  /// the channels j whose d holds c.
  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = shape(cnn_blocked(pass.outputShape, pass.wave))
    cnn_norm_kernels_for(pass.kernels.kernelTable).pointee
      .response_backward(dx, pass.outputGradient, pass.inputs[0], &shape, pass.scratch)
  }

  private func shape(_ x: cnn_blocked) -> cnn_response_shape {
    cnn_response_shape(x: x, size: size, alpha: alpha, beta: beta, k: k)
  }
}
