import Layers

/// Where everything of a wave lies in a lane's arena, for one schedule. Offsets and counts are floats.
struct ArenaLayout: Sendable {
  let schedule: PlanSchedule
  let planarImages: Int?
  let blockedImages: Int?
  let outputs: [Int]
  let lateOutputs: [Int]
  let saved: [Int]
  let gradients: [Int]
  let gradientTargets: [[Plan.GradientTarget]]
  let count: Int

  init(
    _ network: Network, needs: [MemoryNeeds], images: Int, microbatches: Int, mode: Mode,
    schedule: PlanSchedule
  ) {
    let nodes = network.nodes
    var planner = ArenaPlanner()
    let imageLifetimes = ImageLifetimes(network, needs: needs, schedule: schedule)
    let planarBlock = imageLifetimes.planar.flatMap { lifetime in
      microbatches > 1 ? planner.add(count: network.input.count * images, lifetime: lifetime) : nil
    }
    let blockedBlock = imageLifetimes.blocked.map {
      planner.add(count: network.input.blockedCount * images, lifetime: $0)
    }
    let forward = ForwardLifetimes(network, needs: needs, schedule: schedule)
    let outputBlocks = forward.groups.map { planner.add(count: $0.perImage * images, lifetime: $0.lifetime) }
    let savedBlocks = nodes.indices.map { index -> Int in
      let count = needs[index].savedPerImage * images + needs[index].savedPerMicrobatch * microbatches
      let begin = schedule.forward[index]
      let isKept = mode == .training && nodes[index].runsBackward
      return planner.add(count: count, lifetime: begin...(isKept ? schedule.backwardEnd[index] : begin))
    }
    let backward = mode == .training ? BackwardLifetimes(network, needs: needs, schedule: schedule) : nil
    let gradientBlocks =
      backward?.groups.map { planner.add(count: $0.perImage * images, lifetime: $0.lifetime) } ?? []
    let temporaryBlocks = backward?.edges.map { edges in
      edges.map { edge -> Int? in
        guard case .added(let count, let time) = edge else { return nil }
        return planner.add(count: count * images, lifetime: time...time)
      }
    }
    let (offsets, count) = planner.solve()

    self.schedule = schedule
    planarImages = planarBlock.map { offsets[$0] }
    blockedImages = blockedBlock.map { offsets[$0] }
    outputs = forward.first.map { offsets[outputBlocks[$0]] }
    lateOutputs = forward.late.map { offsets[outputBlocks[$0]] }
    saved = savedBlocks.map { offsets[$0] }
    let gradients = backward?.group.map { block in block.map { offsets[gradientBlocks[$0]] } ?? 0 } ?? []
    self.gradients = gradients
    gradientTargets = nodes.indices.map { index in
      guard let backward, let temporaryBlocks else { return [] }
      return zip(backward.edges[index], zip(temporaryBlocks[index], nodes[index].inputs)).map { edge, block in
        guard case .node(let source) = block.1, nodes[source].runsBackward else { return .none }
        if case .none = edge { return .none }
        if let temporary = block.0 { return .added(offset: offsets[temporary], to: gradients[source]) }
        if case .summed = edge { return .summed(offset: gradients[source]) }
        return .direct(offset: gradients[source])
      }
    }
    self.count = count
  }
}
