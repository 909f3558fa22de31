import CKernels
import Tensors

/// A fully connected layer, as PyTorch's `nn.Linear`: y = W · x + bias for x (F, N), W (O, F), y (O, N).
package struct Linear: Layer, Equatable {
  package var outputFeatures: Int
  package var hasBias: Bool
  package var initialisation: WeightInitialisation

  package init(outputFeatures: Int, bias: Bool = true, initialisation: WeightInitialisation = .pytorch) {
    self.outputFeatures = outputFeatures
    hasBias = bias
    self.initialisation = initialisation
  }

  package var kind: String { "Linear" }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard inputs[0].area == 1 else {
      throw LayerError(
        "Linear expects a vector (F, 1, 1), got \(inputs[0]): a Flatten before it would make one")
    }
    guard outputFeatures >= 1 else {
      throw LayerError("Linear expects at least 1 output feature, got \(outputFeatures)")
    }
    return FeatureShape(channels: outputFeatures)
  }

  /// `weight` (O, F), then `bias` (O).
  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    let features = inputs[0].channels
    let weight = ArrayDeclaration(
      "weight", [outputFeatures, features], .weight,
      initialisation.weight(fanIn: features, fanOut: outputFeatures))
    guard hasBias else { return [weight] }
    return [weight, ArrayDeclaration("bias", [outputFeatures], .bias, initialisation.bias(fanIn: features))]
  }

  package func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsInput = true
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].channels * outputFeatures }

  package func forward(_ pass: borrowing ForwardPass) {
    let (n, features) = (pass.images, pass.inputShapes[0].channels)
    if hasBias {
      cnn_bias_kernels_for(pass.kernels.kernelTable).pointee
        .fill(pass.output, outputFeatures, n, n, pass.parameters[1])
    }
    GEMM.multiply(
      m: outputFeatures, n: n, k: features, a: pass.parameters[0], lda: features, b: pass.inputs[0], ldb: n,
      beta: hasBias ? 1 : 0, c: pass.output, ldc: n)
  }

  /// dW = dy · xᵀ, dBias = Σₙ dy, dx = Wᵀ · dy.
  package func backward(_ pass: borrowing BackwardPass) {
    let (n, features, dy) = (pass.images, pass.inputShapes[0].channels, pass.outputGradient)
    GEMM.multiply(
      .asIs, .transposed, m: outputFeatures, n: features, k: n, a: dy, lda: n, b: pass.inputs[0], ldb: n,
      c: pass.parameterGradients[0], ldc: features)
    if hasBias {
      cnn_bias_kernels_for(pass.kernels.kernelTable).pointee
        .gradient(pass.parameterGradients[1], dy, outputFeatures, 1, n)
    }
    if let dx = pass.inputGradients[0] {
      GEMM.multiply(
        .transposed, m: features, n: n, k: outputFeatures, a: pass.parameters[0], lda: features, b: dy,
        ldb: n,
        c: dx, ldc: n)
    }
  }
}
