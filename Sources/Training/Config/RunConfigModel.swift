import Models

package struct ModelConfig: Codable, Sendable, Equatable {
  package enum Initialisation: String, ConfigChoice {
    /// What the model's authors chose: torchvision's rules for its networks, PyTorch's for the others.
    case asDesigned = "default"
    case pytorch, he, glorot
  }

  package var name = "seed_cnn"
  /// The network itself, in the place of a named one; read by `Models`.
  package var layers = ConfigValue.list([])
  /// In the order of the network's outputs; empty for those of the data, sorted.
  package var classes: [String] = []
  package var initialisation = Initialisation.asDesigned
  /// A file of weights to start from; empty for random ones.
  package var weights = ""
  package var weightsMatch = WeightsMatch.exact
  package var inputAdaptation = InputAdaptation.sum
  /// Of values, in dropout layers; of images, in residual blocks.
  package var dropout = DropShare.asDesigned
  package var stochasticDepth = DropShare.asDesigned

  enum CodingKeys: String, CodingKey {
    case name, layers, classes, initialisation, weights
    case weightsMatch = "weights_match"
    case inputAdaptation = "input_adaptation"
    case dropout
    case stochasticDepth = "stochastic_depth"
  }
}

/// The probability of dropping something: `default` for what the network's authors chose, or a number.
package enum DropShare: Codable, Sendable, Equatable {
  case asDesigned
  case given(Double)

  /// nil for the authors' choice.
  package var value: Double? {
    switch self {
    case .asDesigned: nil
    case .given(let share): share
    }
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let share = try? container.decode(Double.self) {
      self = .given(share)
    } else if let word = try? container.decode(String.self), word == "default" {
      self = .asDesigned
    } else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "expects \"default\" or a number from 0 to below 1")
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .asDesigned: try container.encode("default")
    case .given(let share): try container.encode(share)
    }
  }
}
