import Tensors

/// How an array gets its first values.
package enum Initialisation: Sendable, Equatable {
  case zeros, ones
  /// All the same.
  case constant(Float)
  /// U(−bound, bound).
  case uniform(bound: Float)
  /// N(0, deviation²).
  case normal(deviation: Float)

  /// The values, by random numbers addressed with the array's number in the network.
  package func values(count: Int, seed: UInt64, array: Int) -> [Float] {
    let stream = RandomStream(seed: seed, purpose: .initialisation(array: array))
    switch self {
    case .zeros: return Array(repeating: 0, count: count)
    case .ones: return Array(repeating: 1, count: count)
    case .constant(let value): return Array(repeating: value, count: count)
    case .uniform(let bound): return (0..<count).map { (2 * stream.uniform(at: $0) - 1) * bound }
    case .normal(let deviation): return (0..<count).map { stream.normal(at: $0) * deviation }
    }
  }
}

/// The rules by which a layer's weight and bias get their first values, from fan-in and fan-out.
package struct WeightInitialisation: Sendable, Equatable {
  package enum Weight: Sendable, Equatable {
    /// U(−b, b) with b = 1/√fanIn: PyTorch's `kaiming_uniform_(a=√5)`.
    case uniformByFanIn
    /// U(−b, b) with b = 1/√fanOut.
    case uniformByFanOut
    /// N(0, 2/fanIn) and N(0, 2/fanOut) (He et al. 2015, arXiv:1502.01852).
    case heByFanIn, heByFanOut
    /// U(−b, b) with b = √(6/fanIn), of the same variance.
    case heUniform
    /// U(−b, b) with b = √(6 / (fanIn + fanOut)) (Glorot & Bengio 2010).
    case glorot
    /// N(0, deviation²).
    case normal(deviation: Float)
  }

  package enum Bias: Sendable, Equatable {
    case zeros
    /// U(−b, b) with b = 1/√fanIn.
    case uniformByFanIn
  }

  package let weight: Weight
  package let bias: Bias

  package init(_ weight: Weight, bias: Bias = .zeros) {
    self.weight = weight
    self.bias = bias
  }

  /// PyTorch's default for convolutions and linear layers.
  package static let pytorch = WeightInitialisation(.uniformByFanIn, bias: .uniformByFanIn)
  /// What torchvision's ResNets use: `kaiming_normal_(mode="fan_out")`, bias 0.
  package static let he = WeightInitialisation(.heByFanOut)
  package static let glorot = WeightInitialisation(.glorot)
  /// N(0, deviation²), bias 0.
  package static func normal(_ deviation: Float) -> WeightInitialisation {
    WeightInitialisation(.normal(deviation: deviation))
  }

  package func weight(fanIn: Int, fanOut: Int) -> Initialisation {
    switch weight {
    case .uniformByFanIn: .uniform(bound: 1 / Float(fanIn).squareRoot())
    case .uniformByFanOut: .uniform(bound: 1 / Float(fanOut).squareRoot())
    case .heByFanIn: .normal(deviation: (2 / Float(fanIn)).squareRoot())
    case .heByFanOut: .normal(deviation: (2 / Float(fanOut)).squareRoot())
    case .heUniform: .uniform(bound: (6 / Float(fanIn)).squareRoot())
    case .glorot: .uniform(bound: (6 / Float(fanIn + fanOut)).squareRoot())
    case .normal(let deviation): .normal(deviation: deviation)
    }
  }

  package func bias(fanIn: Int) -> Initialisation {
    switch bias {
    case .zeros: .zeros
    case .uniformByFanIn: .uniform(bound: 1 / Float(fanIn).squareRoot())
    }
  }
}
