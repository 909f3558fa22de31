import Layers
import Tensors

/// A network compiled for microbatches of at most `images` images: where every activation, saved
/// value and gradient lies in the arena of a microbatch. Laid out once; nothing is allocated in a step.
///
/// Time runs over the operators: forward of node i at i, the loss at K, backward of node i at 2K − i,
/// for K nodes. Whatever is not needed at the same time may share memory.
package struct Plan: Sendable {
  /// Where backward writes the gradient of one input.
  package enum GradientTarget: Sendable, Equatable {
    /// Nobody needs it: the input is the images.
    case none
    /// Straight into the source's gradient.
    case direct(offset: Int)
    /// To `offset` first, then added to the source's gradient, which another consumer began.
    case added(offset: Int, to: Int)
  }

  package let network: Network
  package let images: Int
  package let mode: Mode
  /// Offset in the arena of each node's output, saved values and (training) output gradient.
  package let outputs: [Int]
  package let saved: [Int]
  package let gradients: [Int]
  /// For each node and each of its inputs.
  package let gradientTargets: [[GradientTarget]]
  /// Floats of one microbatch's arena; floats of scratch, one for a lane.
  package let arenaCount: Int
  package let scratchCount: Int

  package init(_ network: Network, images: Int, mode: Mode) {
    precondition(images > 0, "a plan expects at least one image, got \(images)")
    let nodes = network.nodes
    let needs = nodes.map { $0.layer.memory(for: $0.inputShapes, images: images) }
    var planner = ArenaPlanner()
    let forward = ForwardLifetimes(network, needs: needs, mode: mode)
    let outputBlocks = forward.groups.map { group in
      planner.add(count: group.perImage * images, lifetime: group.lifetime)
    }
    let savedBlocks = nodes.indices.map { index -> Int in
      let count = needs[index].savedPerImage * images + needs[index].savedFixed
      let end = mode == .training ? 2 * nodes.count - index : index
      return planner.add(count: count, lifetime: index...end)
    }
    let backward = mode == .training ? BackwardLifetimes(network, needs: needs) : nil
    let gradientBlocks =
      backward?.groups.map { planner.add(count: $0.perImage * images, lifetime: $0.lifetime) } ?? []
    let temporaryBlocks = backward?.edges.map { edges in
      edges.map { edge -> Int? in
        guard case .added(let count, let time) = edge else { return nil }
        return planner.add(count: count * images, lifetime: time...time)
      }
    }
    let (offsets, count) = planner.solve()

    self.network = network
    self.images = images
    self.mode = mode
    outputs = forward.group.map { offsets[outputBlocks[$0]] }
    saved = savedBlocks.map { offsets[$0] }
    let gradients = backward?.group.map { offsets[gradientBlocks[$0]] } ?? []
    self.gradients = gradients
    gradientTargets = nodes.indices.map { index in
      guard let backward, let temporaryBlocks else { return [] }
      return zip(backward.edges[index], zip(temporaryBlocks[index], nodes[index].inputs)).map { edge, block in
        guard case .node(let source) = block.1 else { return .none }
        if let temporary = block.0 { return .added(offset: offsets[temporary], to: gradients[source]) }
        return .direct(offset: gradients[source])
      }
    }
    arenaCount = count
    scratchCount = needs.map(\.scratch).max() ?? 0
  }
}
