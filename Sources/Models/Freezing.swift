import Layers
import Tensors

/// What batch norms of frozen layers do in training.
package enum FrozenBatchNorm: String, Sendable, CaseIterable {
  /// Norm by their running statistics, which stay as they are.
  case frozen
  /// Norm by the statistics of the batch, which the running ones follow; only weight and bias stay.
  case train
}

extension Network {
  /// The same network, in which the layers of these names keep their parameters. They have no gradients, and
  /// backward ends at the first layer that is trained.
  package func freezing(_ names: Set<String>, batchNorm: FrozenBatchNorm = .frozen) -> Network {
    let layers = nodes.map { node -> any Layer in
      guard var norm = node.layer as? BatchNorm2d else { return node.layer }
      norm.learning = !names.contains(node.name) ? .all : batchNorm == .frozen ? .nothing : .statistics
      return norm
    }
    let frozen = replacing(layers, frozen: names)
    precondition(frozen.nodes.contains(where: \.isTrained), "a network expects a layer that is trained")
    return frozen
  }
}

extension Network {
  /// What is trained of a network whose trunk is frozen, as a network of its own that reads the trunk's output: the
  /// number of the node that gives it, and the nodes behind it. Nil where the trunk is the images, or more than one
  /// of its outputs is read.
  package var head: (trunk: Int, network: Network)? {
    guard let first = nodes.firstIndex(where: \.runsBackward) else { return nil }
    let read = Set(nodes[first...].flatMap(\.inputs).filter { $0 == .image || $0.precedes(first) })
    guard read.count == 1, case .node(let trunk)? = read.first else { return nil }
    let parts = nodes[first...].map { node -> Part in
      let inputs = node.inputs.map { source -> Source in
        guard case .node(let index) = source, index >= first else { return .image }
        return .node(index - first)
      }
      return (node.name, node.layer, inputs, node.inputShapes, node.shape)
    }
    return (trunk, Network(input: nodes[trunk].shape, layers: parts))
  }
}

extension Network.Source {
  fileprivate func precedes(_ node: Int) -> Bool {
    guard case .node(let index) = self else { return true }
    return index < node
  }
}

/// A part of a network by which people count its depth: a residual block, an inception module, a fire module, a
/// convolution of a plain network with the norm behind it.
package struct NetworkBlock: Equatable, Sendable {
  package let name: String
  /// Its layers that have parameters.
  package fileprivate(set) var layers: [String]
}

extension Network {
  /// The blocks in the order of the forward pass. The last layer with parameters, which gives the class scores, is
  /// a block of its own: the head.
  ///
  /// A block has the part of its layers' names in common up to the first number (`layer1.0`, `features.3`), and a
  /// norm belongs to the block before it where it has none.
  package var blocks: [NetworkBlock] {
    let learned = nodes.filter { !$0.parameters.isEmpty }
    var blocks: [NetworkBlock] = []
    for (number, node) in learned.enumerated() {
      let name = Self.blockName(of: node.name)
      let isHead = number == learned.count - 1
      let isNorm = node.parameters.allSatisfy { $0.role == .normScale || $0.role == .normShift }
      if !isHead, let last = blocks.last, last.name == name || isNorm {
        blocks[blocks.count - 1].layers.append(node.name)
      } else {
        blocks.append(NetworkBlock(name: isHead ? node.name : name, layers: [node.name]))
      }
    }
    return blocks
  }

  /// `layer1.0` of `layer1.0.conv1`, `features.denseblock1.denselayer2` of `features.denseblock1.denselayer2.norm1`,
  /// `inception3a` of `inception3a.branch1.conv`, `block1` of `block1.conv`.
  private static func blockName(of layer: String) -> String {
    let parts = layer.split(separator: ".")
    func hasNumber(_ part: Substring) -> Bool { part.contains(where: \.isNumber) }
    guard let first = parts.firstIndex(where: hasNumber) else { return layer }
    var end = first + 1
    // A stage is made of blocks: the number of the block follows its own.
    while end < parts.count - 1,
      parts[end].allSatisfy(\.isNumber)
        || (hasNumber(parts[end]) && parts[end - 1].hasPrefix("denseblock"))
    {
      end += 1
    }
    return parts[..<end].joined(separator: ".")
  }
}

/// A pattern of names of layers and arrays: `*` stands for any characters, `?` for one. What fits the name of a
/// module fits all that is in it: `layer1` and `layer1.*` are the same layers.
package struct NamePattern: Hashable, Sendable {
  package let text: String
  private let pattern: [UInt8]

  package init(_ text: String) {
    self.text = text
    pattern = Array(text.utf8)
  }

  package func fits(_ name: String) -> Bool {
    let name = Array(name.utf8)
    let dot = UInt8(ascii: ".")
    return name.indices.contains { name[$0] == dot && Self.fits(pattern[...], name[..<$0]) }
      || Self.fits(pattern[...], name[...])
  }

  private static func fits(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
    guard let first = pattern.first else { return name.isEmpty }
    let rest = pattern.dropFirst()
    if first == UInt8(ascii: "*") {
      return (name.startIndex...name.endIndex).contains { fits(rest, name[$0...]) }
    }
    guard let character = name.first else { return false }
    return (first == UInt8(ascii: "?") || first == character) && fits(rest, name.dropFirst())
  }
}
