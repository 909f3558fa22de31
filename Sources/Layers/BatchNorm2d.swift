import CKernels
import Tensors

/// Batch normalisation of each channel (Ioffe & Szegedy 2015, arXiv:1502.03167):
///
/// `y = (x − μ) · 1/√(σ² + ε) · weight + bias`, in training with mean μ and biased variance σ² of the
/// channel's N·H·W values in the microbatch, in inference with the running statistics.
///
/// For x (C, N, H, W); weight, bias, running_mean and running_var (C). One value per channel has no
/// variance: see `smallestMicrobatch`.
package struct BatchNorm2d: Layer {
  package var epsilon: Float
  /// How far a step moves the running statistics, once the statistics of its microbatches are averaged:
  /// running ← (1 − momentum) · running + momentum · batch. The optimizer's kernels do it.
  package var momentum: Float
  /// Whether weight and bias are learned; otherwise they are 1 and 0.
  package var affine: Bool
  /// What follows in the same pass over memory; the bits are those of the two layers one by one.
  package var activation: Activation?

  package init(
    epsilon: Float = 1e-5, momentum: Float = 0.1, affine: Bool = true, activation: Activation? = nil
  ) {
    self.epsilon = epsilon
    self.momentum = momentum
    self.affine = affine
    self.activation = activation
  }

  package var kind: String { "BatchNorm2d" }

  package func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }

  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    guard affine else { return [] }
    let shape: Shape = [inputs[0].channels]
    return [
      ArrayDeclaration("weight", shape, .normScale, .ones),
      ArrayDeclaration("bias", shape, .normShift, .zeros),
    ]
  }

  package func statistics(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    let shape: Shape = [inputs[0].channels]
    return [
      ArrayDeclaration("running_mean", shape, .runningMean, .zeros),
      ArrayDeclaration("running_var", shape, .runningVariance, .ones),
    ]
  }

  /// Saved: mean, then 1/√(variance + ε), per channel. The gate of a fused ReLU is found again from x.
  package func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.savedFixed = 2 * inputs[0].channels
    needs.backwardReadsInput = true
    needs.worksInPlace = true
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count }

  /// PyTorch: "Expected more than 1 value per channel when training".
  package func smallestMicrobatch(for inputs: [FeatureShape]) -> Int { inputs[0].area == 1 ? 2 : 1 }

  /// Training writes mean and unbiased variance (of n − 1) of the microbatch to `batchStatistics`.
  package func forward(_ pass: borrowing ForwardPass) {
    var shape = shape(pass.inputShapes[0], images: pass.images)
    let kernels = cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee
    let (weight, bias) = affine ? (pass.parameters[0], pass.parameters[1]) : (nil, nil)
    switch pass.mode {
    case .training:
      precondition(shape.count > 1, "BatchNorm2d expects more than 1 value per channel when training")
      kernels.forward_training(
        pass.output, pass.saved, pass.saved + shape.channels, pass.batchStatistics[1], pass.inputs[0], weight,
        bias, &shape)
      pass.batchStatistics[0].update(from: pass.saved, count: shape.channels)
    case .inference:
      kernels.forward_inference(
        pass.output, pass.inputs[0], pass.statistics[0], pass.statistics[1], weight, bias, &shape)
    }
  }

  /// With g = dy, gated where y ≤ 0 by a fused ReLU, x̂ = (x − μ)/√(σ² + ε) and n = N·H·W:
  /// `dbias = Σ g`, `dweight = Σ g·x̂`, `dx = (g − dbias/n − x̂ · dweight/n) · weight/√(σ² + ε)`.
  package func backward(_ pass: borrowing BackwardPass) {
    var shape = shape(pass.inputShapes[0], images: pass.images)
    let (weight, bias) = affine ? (pass.parameters[0], pass.parameters[1]) : (nil, nil)
    var channels = cnn_batch_norm_channels(
      weight: weight, bias: bias, mean: pass.saved, inverse_deviation: pass.saved + shape.channels)
    cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.backward(
      pass.inputGradients[0], affine ? pass.parameterGradients[0] : nil,
      affine ? pass.parameterGradients[1] : nil, pass.outputGradient, pass.inputs[0], &channels, &shape)
  }

  private func shape(_ input: FeatureShape, images: Int) -> cnn_batch_norm_shape {
    cnn_batch_norm_shape(
      channels: input.channels, count: images * input.area, epsilon: epsilon, relu: activation == .relu)
  }
}
