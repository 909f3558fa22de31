import Layers

/// Adds layers one after another and checks each against the shapes that reach it.
package struct NetworkBuilder {
  package let input: FeatureShape
  /// What the last layer gives: the default input of the next.
  package private(set) var last = Network.Source.image
  private var parts: [Network.Part] = []
  private var names: [String: Int] = [:]

  package init(input: FeatureShape) { self.input = input }

  package func shape(of source: Network.Source) -> FeatureShape {
    switch source {
    case .image: input
    case .node(let index): parts[index].shape
    }
  }

  /// The output of the layer called `name`.
  package func source(named name: String) -> Network.Source? { names[name].map { .node($0) } }

  package var layerNames: [String] { parts.map(\.name) }

  /// Adds a layer that reads `inputs`, or the last layer where none are given. Throws when the name
  /// is taken or the shapes don't fit, naming the layer.
  @discardableResult
  package mutating func add(_ name: String, _ layer: any Layer, from inputs: Network.Source...)
    throws(NetworkError) -> Network.Source
  {
    try add(name, layer, inputs: inputs)
  }

  @discardableResult
  package mutating func add(_ name: String, _ layer: any Layer, inputs: [Network.Source])
    throws(NetworkError) -> Network.Source
  {
    let sources = inputs.isEmpty ? [last] : inputs
    guard names[name] == nil else { throw NetworkError("two layers are named \"\(name)\"") }
    if let expected = layer.inputCount, expected != sources.count {
      throw NetworkError("\(name): \(layer.kind) expects \(expected) input(s), got \(sources.count)")
    }
    let inputShapes = sources.map(shape(of:))
    do {
      let shape = try layer.outputShape(of: inputShapes)
      parts.append((name, layer, sources, inputShapes, shape))
    } catch {
      throw NetworkError("\(name): \(error)")
    }
    names[name] = parts.count - 1
    last = .node(parts.count - 1)
    return last
  }

  /// The network, whose last layer must give one score for each class.
  package func build() throws(NetworkError) -> Network {
    guard let final = parts.last else { throw NetworkError("a network expects at least one layer, got none") }
    guard final.shape.area == 1 else {
      throw NetworkError(
        "\(final.name): the last layer expects to give (classes, 1, 1), gives \(final.shape)")
    }
    var read = Set(parts.flatMap(\.inputs))
    read.insert(.node(parts.count - 1))
    for (index, part) in parts.enumerated() where !read.contains(.node(index)) {
      throw NetworkError("\(part.name): nothing reads its output")
    }
    return Network(input: input, layers: parts)
  }
}
