import Layers

/// A run of nodes that share one block of memory because they work in place.
struct SharedBlock {
  var perImage: Int
  var lifetime: ClosedRange<Int>
}

/// When the outputs of nodes are alive, and which share a block.
struct ForwardLifetimes {
  /// For each node, the number of its block.
  private(set) var group: [Int] = []
  private(set) var groups: [SharedBlock] = []

  init(_ network: Network, needs: [MemoryNeeds], mode: Mode) {
    let nodes = network.nodes
    let consumers = network.consumers
    for (index, node) in nodes.enumerated() {
      var end = consumers[index].max() ?? nodes.count
      if mode == .training {
        let backward = { (node: Int) in 2 * nodes.count - node }
        if needs[index].backwardReadsOutput { end = max(end, backward(index)) }
        for consumer in consumers[index] where needs[consumer].backwardReadsInput {
          end = max(end, backward(consumer))
        }
        if index == nodes.count - 1 { end = max(end, nodes.count) }
      }
      if let shared = Self.inputToOverwrite(of: index, network, needs, consumers, mode) {
        group.append(group[shared])
        let old = groups[group[shared]].lifetime
        groups[group[shared]].lifetime = old.lowerBound...max(old.upperBound, end)
      } else {
        group.append(groups.count)
        groups.append(SharedBlock(perImage: node.shape.blockedCount, lifetime: index...max(index, end)))
      }
    }
  }

  /// The node whose output this node may overwrite: its only reader, and nobody looks at it again.
  private static func inputToOverwrite(
    of index: Int, _ network: Network, _ needs: [MemoryNeeds], _ consumers: [[Int]], _ mode: Mode
  ) -> Int? {
    guard needs[index].worksInPlace, case .node(let source)? = network.nodes[index].inputs.first,
      consumers[source].count == 1, network.nodes[source].shape == network.nodes[index].shape
    else { return nil }
    if mode == .training && (needs[index].backwardReadsInput || needs[source].backwardReadsOutput) {
      return nil
    }
    return source
  }
}

/// How long the images are needed, as they come and in blocks; nil where nobody reads them so. They lie
/// there before the first node runs.
struct ImageLifetimes {
  private(set) var planar: ClosedRange<Int>?
  private(set) var blocked: ClosedRange<Int>?

  init(_ network: Network, needs: [MemoryNeeds], mode: Mode) {
    let nodes = network.nodes
    for (index, node) in nodes.enumerated() {
      for position in node.inputs.indices where node.inputs[position] == .image {
        let reads = mode == .training && needs[index].backwardReadsInput
        let end = reads ? 2 * nodes.count - index : index
        if network.readsPlanarImages(node, position: position) {
          planar = 0...max(end, planar?.upperBound ?? 0)
        } else {
          blocked = 0...max(end, blocked?.upperBound ?? 0)
        }
      }
    }
    // What is blocked is gathered first.
    if blocked != nil && planar == nil { planar = 0...0 }
  }
}

/// When the gradients of nodes' outputs are alive, which share a block, and how each edge delivers.
struct BackwardLifetimes {
  enum Edge {
    case none
    case direct
    /// Needs room of its own for a moment: floats per image, and the moment.
    case added(perImage: Int, time: Int)
  }

  private(set) var group: [Int]
  private(set) var groups: [SharedBlock] = []
  private(set) var edges: [[Edge]]

  init(_ network: Network, needs: [MemoryNeeds]) {
    let nodes = network.nodes
    let consumers = network.consumers
    let time = { (node: Int) in 2 * nodes.count - node }
    group = Array(repeating: -1, count: nodes.count)
    edges = Array(repeating: [], count: nodes.count)
    var begun = Array(repeating: false, count: nodes.count)
    if let last = nodes.indices.last {
      group[last] = 0
      groups.append(SharedBlock(perImage: nodes[last].shape.blockedCount, lifetime: nodes.count...time(last)))
      begun[last] = true
    }
    for index in nodes.indices.reversed() {
      for (position, source) in nodes[index].inputs.enumerated() {
        guard case .node(let source) = source else {
          edges[index].append(.none)
          continue
        }
        if begun[source] {
          edges[index].append(.added(perImage: nodes[source].shape.blockedCount, time: time(index)))
          continue
        }
        begun[source] = true
        edges[index].append(.direct)
        if position == 0 && needs[index].worksInPlace && consumers[source].count == 1
          && nodes[source].shape == nodes[index].shape
        {
          group[source] = group[index]
          groups[group[index]].lifetime = groups[group[index]].lifetime.lowerBound...time(source)
        } else {
          group[source] = groups.count
          groups.append(
            SharedBlock(perImage: nodes[source].shape.blockedCount, lifetime: time(index)...time(source)))
        }
      }
    }
  }
}
