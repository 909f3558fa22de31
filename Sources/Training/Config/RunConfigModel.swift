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
  package var dropout = 0.5

  enum CodingKeys: String, CodingKey {
    case name, layers, classes, initialisation, weights
    case weightsMatch = "weights_match"
    case inputAdaptation = "input_adaptation"
    case dropout
  }
}
