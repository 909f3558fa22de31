import Layers
import Tensors

/// A graph of layers: branches, residuals, concatenation. Nodes stand in an order in which each comes
/// after its inputs; that is also the order of their parameters in the flat buffers.
package struct Network: Sendable {
  /// Where a node's input comes from.
  package enum Source: Hashable, Sendable {
    case image
    case node(Int)
  }

  package struct Node: Sendable {
    package let name: String
    package let layer: any Layer
    package let inputs: [Source]
    package let inputShapes: [FeatureShape]
    package let shape: FeatureShape
    /// The layer's arrays, as the flat layout places them.
    package let parameters: [FlatLayout.Entry]
    package let statistics: [FlatLayout.Entry]

    /// The part of the flat buffers that the parameters fill, padding to whole vectors included.
    package var parameterRange: Range<Int> { Self.hull(of: parameters) }
    package var statisticsRange: Range<Int> { Self.hull(of: statistics) }

    private static func hull(of entries: [FlatLayout.Entry]) -> Range<Int> {
      guard let first = entries.first, let last = entries.last else { return 0..<0 }
      return first.offset..<((last.range.upperBound + 15) / 16 * 16)
    }
  }

  package let input: FeatureShape
  package let nodes: [Node]
  package let layout: FlatLayout
  private let initialisations: [Initialisation]

  /// The number of classes: channels of the last node.
  package var classes: Int { output.channels }
  package var output: FeatureShape { nodes.last?.shape ?? input }

  /// Multiply-adds of a forward pass of one image.
  package var multiplyAdds: Int { nodes.reduce(0) { $0 + $1.layer.multiplyAdds(for: $1.inputShapes) } }

  /// The smallest microbatch that training can work on (two where a batch norm sees one value an image).
  package var smallestMicrobatch: Int {
    nodes.map { $0.layer.smallestMicrobatch(for: $0.inputShapes) }.max() ?? 1
  }

  /// The smallest step that training can work on.
  package var smallestBatch: Int {
    nodes.map { $0.layer.smallestBatch(for: $0.inputShapes) }.max() ?? 1
  }

  /// The same network with batch norms that take their statistics over `images`.
  package func takingStatistics(over images: BatchStatistics) -> Network {
    replacing(
      nodes.map { node in
        guard var norm = node.layer as? BatchNorm2d else { return node.layer }
        norm.statisticsOver = images
        return norm
      })
  }

  /// Whether a layer asks for what other microbatches know.
  package var poolsStatistics: Bool {
    nodes.contains { ($0.layer as? BatchNorm2d)?.statisticsOver == .globalBatch }
  }

  /// For each node, which nodes read its output (once an edge).
  package var consumers: [[Int]] {
    var consumers = Array(repeating: [Int](), count: nodes.count)
    for (index, node) in nodes.enumerated() {
      for case .node(let source) in node.inputs { consumers[source].append(index) }
    }
    return consumers
  }

  /// A node to be, before its arrays are laid out.
  typealias Part = (
    name: String, layer: any Layer, inputs: [Source], inputShapes: [FeatureShape], shape: FeatureShape
  )

  /// Assembles the graph; `layers` come in forward order.
  init(input: FeatureShape, layers: [Part]) {
    var parameters: [FlatLayout.Declaration] = []
    var statistics: [FlatLayout.Declaration] = []
    var initialisations: [Initialisation] = []
    var statisticsInitialisations: [Initialisation] = []
    for (name, layer, _, inputShapes, _) in layers {
      for array in layer.parameters(for: inputShapes) {
        parameters.append(.init("\(name).\(array.name)", array.shape, array.role, array.storage))
        initialisations.append(array.initialisation)
      }
      for array in layer.statistics(for: inputShapes) {
        statistics.append(.init("\(name).\(array.name)", array.shape, array.role, array.storage))
        statisticsInitialisations.append(array.initialisation)
      }
    }
    let layout = FlatLayout(parameters: parameters, statistics: statistics)
    var nextParameter = 0
    var nextStatistic = 0
    self.input = input
    self.layout = layout
    self.initialisations = initialisations + statisticsInitialisations
    nodes = layers.map { name, layer, inputs, inputShapes, shape in
      let parameterCount = layer.parameters(for: inputShapes).count
      let statisticsCount = layer.statistics(for: inputShapes).count
      defer {
        nextParameter += parameterCount
        nextStatistic += statisticsCount
      }
      return Node(
        name: name, layer: layer, inputs: inputs, inputShapes: inputShapes, shape: shape,
        parameters: Array(layout.parameters[nextParameter..<(nextParameter + parameterCount)]),
        statistics: Array(layout.statistics[nextStatistic..<(nextStatistic + statisticsCount)]))
    }
  }

  /// Whether a node reads the network's images, input `position`, planar as they come.
  func readsPlanarImages(_ node: Node, position: Int) -> Bool {
    position == 0 && node.inputs[position] == .image && node.layer.readsImages(input)
  }

  /// The same graph with other layers, perhaps with other names, some with one more input; whoever read a removed
  /// node reads what is named in its place.
  func replacing(
    _ layers: [any Layer], names: [String]? = nil, removed: [Int: Source] = [:],
    extraInputs: [Int: Source] = [:]
  ) -> Network {
    var position: [Int: Int] = [:]
    var parts: [Part] = []
    for (index, node) in nodes.enumerated() {
      if case .node(let source)? = removed[index] {
        position[index] = position[source]
        continue
      }
      position[index] = parts.count
      let inputs = (node.inputs + [extraInputs[index]].compactMap(\.self)).map { source -> Source in
        guard case .node(let old) = source, let new = position[old] else { return source }
        return .node(new)
      }
      let inputShapes = inputs.map { source -> FeatureShape in
        guard case .node(let index) = source else { return input }
        return parts[index].shape
      }
      guard let shape = try? layers[index].outputShape(of: inputShapes) else {
        preconditionFailure("\(node.name) can't become \(layers[index]), which refuses \(inputShapes)")
      }
      parts.append((names?[index] ?? node.name, layers[index], inputs, inputShapes, shape))
    }
    return Network(input: input, layers: parts)
  }

  /// The first values of parameters and running statistics, a function of the seed alone.
  package func initialValues(seed: UInt64) -> FloatBuffer {
    let values = FloatBuffer(count: layout.extent)
    for (number, (entry, initialisation)) in zip(layout.entries, initialisations).enumerated() {
      let array = initialisation.values(count: entry.shape.count, seed: seed, array: number)
      entry.fill(values.pointer, with: array)
    }
    return values
  }
}

/// A network that can't be built.
package struct NetworkError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}
