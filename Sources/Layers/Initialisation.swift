import Tensors

/// How an array gets its first values.
package enum Initialisation: Sendable, Equatable {
  case zeros, ones
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

/// A rule that turns fan-in and fan-out into an initialisation.
package enum WeightInitialisation: String, Sendable, CaseIterable, Codable {
  /// PyTorch's default for convolutions and linear layers: `kaiming_uniform_(a=√5)`, which is
  /// U(−b, b) with b = 1/√fanIn, for weight and bias alike.
  case pytorch
  /// He et al. 2015 (arXiv:1502.01852), fan-out: N(0, 2/fanOut), bias 0. What torchvision's ResNets use.
  case he
  /// Glorot & Bengio 2010: U(−b, b) with b = √(6 / (fanIn + fanOut)), bias 0.
  case glorot

  package func weight(fanIn: Int, fanOut: Int) -> Initialisation {
    switch self {
    case .pytorch: .uniform(bound: 1 / Float(fanIn).squareRoot())
    case .he: .normal(deviation: (2 / Float(fanOut)).squareRoot())
    case .glorot: .uniform(bound: (6 / Float(fanIn + fanOut)).squareRoot())
    }
  }

  package func bias(fanIn: Int) -> Initialisation {
    self == .pytorch ? .uniform(bound: 1 / Float(fanIn).squareRoot()) : .zeros
  }
}
