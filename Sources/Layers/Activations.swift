import CKernels
import Tensors

/// An element-wise function with a kernel of its own: y = f(x), dx = dy · f′(x).
package protocol ActivationLayer: Layer {
  var function: cnn_activation { get }
  /// The slope below zero, where the function has one to choose.
  var negativeSlope: Float { get }
}

extension ActivationLayer {
  package var negativeSlope: Float { 0 }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape { inputs[0] }

  /// The slope is found from y where that is as easy, so that x needn't be kept.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsOutput = cnn_activation_keeps_output(function)
    needs.backwardReadsInput = !needs.backwardReadsOutput
    needs.worksInPlace = true
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    cnn_activation_kernels_for(pass.kernels.kernelTable, function).pointee
      .forward(pass.output, pass.inputs[0], &shape, negativeSlope)
  }

  package func backwardData(_ pass: borrowing BackwardPass) {
    guard let dx = pass.inputGradients[0] else { return }
    var shape = cnn_blocked(pass.outputShape, pass.wave)
    let kept = cnn_activation_keeps_output(function) ? pass.output : pass.inputs[0]
    cnn_activation_kernels_for(pass.kernels.kernelTable, function).pointee
      .backward(dx, pass.outputGradient, kept, &shape, negativeSlope)
  }
}

/// `y = min(max(0, x), 6)`; dx = dy where 0 < y < 6, otherwise 0. Howard et al. 2017, arXiv:1704.04861.
package struct ReLU6: ActivationLayer, Equatable {
  package init() {}
  package var kind: String { "ReLU6" }
  package var function: cnn_activation { CNN_RELU6 }
}

/// `y = min(max(0, x + 3), 6) / 6`; dx = dy / 6 where −3 < x < 3, otherwise 0.
package struct Hardsigmoid: ActivationLayer, Equatable {
  package init() {}
  package var kind: String { "Hardsigmoid" }
  package var function: cnn_activation { CNN_HARDSIGMOID }
}

/// `y = x · min(max(0, x + 3), 6) / 6`; dx = 0 for x ≤ −3, dy for x ≥ 3, dy · (x/3 + 1/2) between.
/// Howard et al. 2019, arXiv:1905.02244.
package struct Hardswish: ActivationLayer, Equatable {
  package init() {}
  package var kind: String { "Hardswish" }
  package var function: cnn_activation { CNN_HARDSWISH }
}

/// `y = x` for x > 0, otherwise `negativeSlope · x`; dx likewise.
package struct LeakyReLU: ActivationLayer, Equatable {
  package let negativeSlope: Float

  package init(negativeSlope: Float = 0.01) throws(LayerError) {
    guard negativeSlope.isFinite else {
      throw LayerError("LeakyReLU expects a finite negative_slope, got \(negativeSlope)")
    }
    self.negativeSlope = negativeSlope
  }

  package var kind: String { "LeakyReLU" }
  package var function: cnn_activation { CNN_LEAKY_RELU }
}

/// `y = 1 / (1 + e⁻ˣ)`; dx = dy · y · (1 − y).
package struct Sigmoid: ActivationLayer, Equatable {
  package init() {}
  package var kind: String { "Sigmoid" }
  package var function: cnn_activation { CNN_SIGMOID }
}

/// `y = x · σ(x)` with σ(x) = 1 / (1 + e⁻ˣ); dx = dy · σ · (1 + x · (1 − σ)). Also known as swish.
/// Elfwing et al. 2017, arXiv:1702.03118.
package struct SiLU: ActivationLayer, Equatable {
  package init() {}
  package var kind: String { "SiLU" }
  package var function: cnn_activation { CNN_SILU }
}

/// `y = tanh x`; dx = dy · (1 − y²).
package struct Tanh: ActivationLayer, Equatable {
  package init() {}
  package var kind: String { "Tanh" }
  package var function: cnn_activation { CNN_TANH }
}

/// `y = x · Φ(x)` with Φ(x) = (1 + erf(x/√2)) / 2; dx = dy · (Φ + x · e^(−x²/2) / √(2π)).
/// Hendrycks & Gimpel 2016, arXiv:1606.08415.
package struct GELU: ActivationLayer, Equatable {
  package enum Approximation: String, CaseIterable, Sendable {
    case none
    /// Φ(x) ≈ (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2.
    case tanh
  }

  package let approximate: Approximation

  package init(approximate: Approximation = .none) { self.approximate = approximate }

  package var kind: String { "GELU" }
  package var function: cnn_activation { approximate == .tanh ? CNN_GELU_TANH : CNN_GELU }
}
