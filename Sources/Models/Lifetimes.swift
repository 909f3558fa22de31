import Layers

/// A run of nodes that share one block of memory because they work in place, or because each begins with the one
/// before.
struct SharedBlock {
  var perImage: Int
  var lifetime: ClosedRange<Int>

  mutating func grow(to perImage: Int, until end: Int) {
    self.perImage = max(self.perImage, perImage)
    lifetime = lifetime.lowerBound...max(lifetime.upperBound, end)
  }
}

/// When the outputs of nodes are alive, and which share a block.
struct ForwardLifetimes {
  /// For each node, the number of the block that forward fills, and of the one that backward sees: another where
  /// the node runs again.
  private(set) var first: [Int] = []
  private(set) var late: [Int] = []
  private(set) var groups: [SharedBlock] = []

  /// - Parameter network: with at least one node.
  init(_ network: Network, needs: [MemoryNeeds], schedule: PlanSchedule) {
    let ends = network.consumers.enumerated().map { node, consumers in
      Ends(of: node, consumers: consumers, needs, schedule)
    }
    for node in network.nodes.indices {
      // Where nodes run again, a block would be held from the first time to the second.
      if schedule.repeated.isEmpty, let source = network.inputToContinue(by: node, needs) {
        first.append(first[source])
        groups[first[source]].grow(to: network.nodes[node].shape.blockedCount, until: ends[node].first)
        continue
      }
      let source = network.inputToOverwrite(of: node, needs).map { (first[$0], ends[$0].first) }
      first.append(
        place(network.nodes[node].shape, at: schedule.forward[node], until: ends[node].first, over: source))
    }
    late = first
    for node in schedule.repeated {
      guard let time = schedule.again[node] else { continue }
      let source = network.inputToOverwrite(of: node, needs).map { (late[$0], ends[$0].late) }
      late[node] = place(network.nodes[node].shape, at: time, until: ends[node].late, over: source)
    }
  }

  /// When the last reads a node's output: the one of its forward pass, and the one that backward sees.
  private struct Ends {
    let first: Int
    let late: Int

    init(of node: Int, consumers: [Int], _ needs: [MemoryNeeds], _ schedule: PlanSchedule) {
      let forward = max(schedule.forward[node], consumers.map { schedule.forward[$0] }.max() ?? schedule.loss)
      var later = consumers.compactMap { schedule.again[$0] }
      if !schedule.backward.isEmpty {
        if needs[node].backwardReadsOutput { later.append(schedule.backwardEnd[node]) }
        later += consumers.filter { needs[$0].backwardReadsInput }.map { schedule.backwardEnd[$0] }
      }
      let last = later.max() ?? 0
      if let again = schedule.again[node] {
        (first, late) = (forward, max(again, last))
      } else {
        (first, late) = (max(forward, last), max(forward, last))
      }
    }
  }

  /// The block of an output that is written at a time: that of the input, where nobody looks at it again.
  private mutating func place(
    _ shape: FeatureShape, at time: Int, until end: Int, over source: (block: Int, end: Int)?
  ) -> Int {
    if let source, source.end == time, groups[source.block].lifetime.upperBound == time {
      groups[source.block].lifetime = groups[source.block].lifetime.lowerBound...end
      return source.block
    }
    groups.append(SharedBlock(perImage: shape.blockedCount, lifetime: time...end))
    return groups.count - 1
  }
}

extension Network {
  /// The node whose output a node could overwrite, being its only reader.
  fileprivate func inputToOverwrite(of index: Int, _ needs: [MemoryNeeds]) -> Int? {
    guard needs[index].worksInPlace, case .node(let source)? = nodes[index].inputs.first,
      consumers[source].count == 1, nodes[source].shape == nodes[index].shape
    else { return nil }
    return source
  }

  /// The node whose output a node could continue: no other continues it.
  fileprivate func inputToContinue(by index: Int, _ needs: [MemoryNeeds]) -> Int? {
    guard needs[index].continuesInput, case .node(let source)? = nodes[index].inputs.first else { return nil }
    let first = consumers[source].first {
      needs[$0].continuesInput && nodes[$0].inputs.first == .node(source)
    }
    return first == index ? source : nil
  }
}

/// How long the images are needed, as they come and in blocks; nil where nobody reads them so. They lie
/// there before the first node runs.
struct ImageLifetimes {
  private(set) var planar: ClosedRange<Int>?
  private(set) var blocked: ClosedRange<Int>?

  init(_ network: Network, needs: [MemoryNeeds], schedule: PlanSchedule) {
    for (index, node) in network.nodes.enumerated() {
      for position in node.inputs.indices where node.inputs[position] == .image {
        var end = schedule.again[index] ?? schedule.forward[index]
        if !schedule.backward.isEmpty, needs[index].backwardReadsInput { end = schedule.backwardEnd[index] }
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
    /// The layer adds to what is there.
    case summed
    /// Needs room of its own for a moment: floats per image, and the moment.
    case added(perImage: Int, time: Int)
  }

  /// nil for nodes whose output's gradient nobody needs.
  private(set) var group: [Int?]
  private(set) var groups: [SharedBlock] = []
  private(set) var edges: [[Edge]]

  init(_ network: Network, needs: [MemoryNeeds], schedule: PlanSchedule) {
    let nodes = network.nodes
    let consumers = network.consumers
    let (time, end) = (schedule.backward, schedule.backwardEnd)
    group = Array(repeating: nil, count: nodes.count)
    edges = Array(repeating: [], count: nodes.count)
    var begun = Array(repeating: false, count: nodes.count)
    if let last = nodes.indices.last {
      group[last] = 0
      groups.append(
        SharedBlock(perImage: nodes[last].shape.blockedCount, lifetime: schedule.loss...end[last]))
      begun[last] = true
    }
    for index in nodes.indices.reversed() {
      for (position, source) in nodes[index].inputs.enumerated() {
        guard case .node(let source) = source, nodes[source].runsBackward,
          schedule.askedForGradient[source] != index
        else {
          edges[index].append(.none)
          continue
        }
        if begun[source], position == 0, needs[index].addsToInputGradient {
          edges[index].append(.summed)
          continue
        }
        if begun[source] {
          edges[index].append(.added(perImage: nodes[source].shape.blockedCount, time: time[index]))
          continue
        }
        begun[source] = true
        edges[index].append(.direct)
        if position == 0 && needs[index].worksInPlace && consumers[source].count == 1
          && nodes[source].shape == nodes[index].shape, let block = group[index]
        {
          group[source] = block
          groups[block].lifetime = groups[block].lifetime.lowerBound...end[source]
        } else if position == 0 && needs[index].continuesInput, let block = group[index] {
          // The gradient of the rest has been read when others add to this one.
          group[source] = block
          groups[block].grow(to: nodes[source].shape.blockedCount, until: end[source])
        } else {
          group[source] = groups.count
          groups.append(
            SharedBlock(
              perImage: nodes[source].shape.blockedCount, lifetime: time[index]...end[source]))
        }
      }
    }
  }
}
