import Layers
import Tensors

/// The networks that have a name: torchvision's, by torchvision's names, and some small ones.
///
/// Arrays are named, shaped and initialised as torchvision's are. A name that ends in `_small` is the same
/// network with a stem for crops of 28 to 64 pixels: a first convolution without stride, no pool behind it.
package enum ModelZoo {
  /// What every network of the zoo can be asked for.
  package struct Options: Sendable {
    package var classes: Int
    /// nil: as the network's own paper or reference implementation has it; so with the others.
    package var dropout: Double?
    package var stochasticDepth: Double?
    package var initialisation: WeightInitialisation?

    package init(
      classes: Int, dropout: Double? = nil, stochasticDepth: Double? = nil,
      initialisation: WeightInitialisation? = nil
    ) {
      self.classes = classes
      self.dropout = dropout
      self.stochasticDepth = stochasticDepth
      self.initialisation = initialisation
    }
  }

  /// Where an architecture was published.
  package struct Paper: Sendable {
    package let authors: String
    package let title: String
    package let year: Int
    /// `arXiv:…`, where it is there.
    package let link: String?

    init(_ authors: String, _ title: String, _ year: Int, _ link: String? = nil) {
      self.authors = authors
      self.title = title
      self.year = year
      self.link = link
    }
  }

  package struct Entry: Sendable {
    package let name: String
    /// nil for a network of this project's own.
    package let paper: Paper?
    package let summary: String
    /// The images that it was made for.
    package let input: FeatureShape
    let build: @Sendable (inout NetworkBuilder, Options) throws(NetworkError) -> Void

    init(
      _ name: String, _ paper: Paper?, _ summary: String, channels: Int = 3, size: Int = 224,
      build: @escaping @Sendable (inout NetworkBuilder, Options) throws(NetworkError) -> Void
    ) {
      self.name = name
      self.paper = paper
      self.summary = summary
      input = FeatureShape(channels: channels, height: size, width: size)
      self.build = build
    }
  }

  /// In the order of the papers, family by family.
  package static let entries: [Entry] =
    simpleEntries + alexNetEntries + vggEntries + googLeNetEntries + resNetEntries + squeezeNetEntries
    + denseNetEntries + mobileNetEntries + efficientNetEntries + convNeXtEntries

  /// Throws `NetworkError` that offers the nearest names where there is none like it.
  package static func entry(named name: String) throws(NetworkError) -> Entry {
    if let entry = entries.first(where: { $0.name == name }) { return entry }
    let names = entries.map(\.name)
    let alike = Spelling.nearest(3, to: name, among: names)
    let near = alike.isEmpty ? Array(names.filter { !name.isEmpty && $0.hasPrefix(name) }.prefix(3)) : alike
    let offer = near.isEmpty ? "" : ", but \(near.joined(separator: ", "))"
    throw NetworkError("no model is named \"\(name)\"\(offer) (`inspect zoo` lists all \(entries.count))")
  }

  /// Builds a network by name. Throws where no such name is there, or where the images are too small, naming the
  /// layer at which they vanish.
  package static func network(_ name: String, input: FeatureShape, options: Options) throws(NetworkError)
    -> Network
  {
    let entry = try entry(named: name)
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

  /// The probability with which residual block `number` of `count` is dropped for an image: from 0 in the first
  /// evenly up to `greatest`, which the last would have reached.
  static func stochasticDepth(_ greatest: Double, number: Int, of count: Int) throws(NetworkError)
    -> StochasticDepth
  {
    do {
      return try StochasticDepth(
        probability: Float(greatest * Double(number) / Double(count)), number: number)
    } catch {
      throw NetworkError(error.description)
    }
  }
}
