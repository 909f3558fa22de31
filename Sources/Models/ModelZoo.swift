import Layers

/// The networks that have a name.
package enum ModelZoo {
  /// What every network of the zoo can be asked for.
  package struct Options: Sendable {
    package var classes: Int
    package var dropout: Double
    /// nil: as the network's own paper or reference implementation initialises.
    package var initialisation: WeightInitialisation?

    package init(classes: Int, dropout: Double = 0.5, initialisation: WeightInitialisation? = nil) {
      self.classes = classes
      self.dropout = dropout
      self.initialisation = initialisation
    }
  }

  package struct Entry: Sendable {
    package let name: String
    package let summary: String
    let build: @Sendable (inout NetworkBuilder, Options) throws(NetworkError) -> Void
  }

  package static let entries: [Entry] = [
    Entry(
      name: "seed_cnn",
      summary: "three blocks of 3×3 convolution, batch norm, ReLU, 2×2 max pool; 256 units; dropout",
      build: seedCNN),
    Entry(name: "lenet5", summary: "LeCun et al. 1998, with ReLU and max pooling", build: leNet5),
    Entry(
      name: "resnet18", summary: "He et al. 2015 (arXiv:1512.03385), as torchvision defines it",
      build: resNet18),
    Entry(
      name: "resnet18_small",
      summary: "ResNet-18 with a 3×3 stem and no first pool, for crops of 28 to 64 pixels",
      build: resNet18Small),
  ]

  /// Builds a network by name.
  package static func network(_ name: String, input: FeatureShape, options: Options) throws(NetworkError)
    -> Network
  {
    guard let entry = entries.first(where: { $0.name == name }) else {
      let names = entries.map(\.name).joined(separator: ", ")
      throw NetworkError("no model is named \"\(name)\"; there are \(names)")
    }
    var builder = NetworkBuilder(input: input)
    do {
      try entry.build(&builder, options)
    } catch {
      throw NetworkError("\(name) for input \(input): \(error)")
    }
    return try builder.build()
  }

  /// A dropout layer, its probability checked.
  static func dropout(_ probability: Double, number: Int) throws(NetworkError) -> Dropout {
    do {
      return try Dropout(probability: Float(probability), number: number)
    } catch {
      throw NetworkError(error.description)
    }
  }
}
