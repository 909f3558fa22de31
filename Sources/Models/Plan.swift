import Layers
import Tensors

/// A network compiled for waves of at most `images` images: where every activation, saved value and
/// gradient lies in the arena of a lane. Laid out once; nothing is allocated in a step.
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
  /// The most images and microbatches of a wave.
  package let images: Int
  package let microbatches: Int
  package let mode: Mode
  package let kernels: InstructionSet
  /// Offset in the arena of the wave's images, planar where several microbatches are to be gathered,
  /// and blocked where a layer wants them so.
  package let planarImages: Int?
  package let blockedImages: Int?
  /// Offset in the arena of each node's output, saved values and (training) output gradient.
  package let outputs: [Int]
  package let saved: [Int]
  package let gradients: [Int]
  /// For each node and each of its inputs.
  package let gradientTargets: [[GradientTarget]]
  /// Floats of a lane's arena; floats of its scratch.
  package let arenaCount: Int
  package let scratchCount: Int

  package init(
    _ network: Network, images: Int, microbatches: Int = 1, mode: Mode, kernels: InstructionSet
  ) {
    precondition(images > 0, "a plan expects at least one image, got \(images)")
    precondition(microbatches > 0, "a plan expects at least one microbatch, got \(microbatches)")
    let nodes = network.nodes
    let needs = nodes.map { $0.layer.memory(for: $0.inputShapes, images: images, kernels: kernels) }
    var planner = ArenaPlanner()
    let imageLifetimes = ImageLifetimes(network, needs: needs, mode: mode)
    let planarBlock = imageLifetimes.planar.flatMap { lifetime in
      microbatches > 1 ? planner.add(count: network.input.count * images, lifetime: lifetime) : nil
    }
    let blockedBlock = imageLifetimes.blocked.map {
      planner.add(count: network.input.blockedCount * images, lifetime: $0)
    }
    let forward = ForwardLifetimes(network, needs: needs, mode: mode)
    let outputBlocks = forward.groups.map { group in
      planner.add(count: group.perImage * images, lifetime: group.lifetime)
    }
    let savedBlocks = nodes.indices.map { index -> Int in
      let count = needs[index].savedPerImage * images + needs[index].savedPerMicrobatch * microbatches
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
    self.microbatches = microbatches
    self.mode = mode
    self.kernels = kernels
    planarImages = planarBlock.map { offsets[$0] }
    blockedImages = blockedBlock.map { offsets[$0] }
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
