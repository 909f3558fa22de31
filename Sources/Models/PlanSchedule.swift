import Layers

/// What a lane keeps of the outputs of a forward pass until the backward pass (PyTorch: activation checkpointing;
/// Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174).
package enum ActivationCheckpointing: String, Sendable, CaseIterable {
  /// All that backward reads.
  case none
  /// The outputs at the borders of blocks, and of the last block; the others are computed again, block by block,
  /// before backward goes through. The bits are the same.
  case blocks
}

/// When a plan runs what. Forward of all nodes comes first, then the loss, then the segments of the network from
/// the last to the first: forward of some of their nodes once more, then backward of all. Times count from 0.
struct PlanSchedule {
  /// By node.
  let forward: [Int]
  /// Of nodes whose output isn't kept but is needed in backward.
  private(set) var again: [Int?]
  let loss: Int
  /// By node; empty in inference.
  private(set) var backward: [Int] = []
  /// When what backward of a node reads has been read for the last time: after `backward` where the node before it
  /// asks for dx part by part, in its own backward.
  private(set) var backwardEnd: [Int] = []
  /// By node, the one behind it that it asks for the gradient of its output, part by part.
  private(set) var askedForGradient: [Int?]
  /// The nodes that run again, in that order; and by node, which of them run right before its backward.
  private(set) var repeated: [Int] = []
  private(set) var repeats: [Range<Int>]

  /// `segments` are the network's nodes in runs. The outputs that cross a border are kept, and all of the last.
  init(_ network: Network, needs: [MemoryNeeds], mode: Mode, segments: [Range<Int>]) {
    let count = network.nodes.count
    forward = Array(0..<count)
    loss = count
    again = Array(repeating: nil, count: count)
    repeats = Array(repeating: 0..<0, count: count)
    askedForGradient = Array(repeating: nil, count: count)
    guard mode == .training else { return }
    backward = Array(repeating: 0, count: count)
    let consumers = network.consumers
    var time = count + 1
    for segment in segments.reversed() {
      if segment.upperBound < count {
        let first = repeated.count
        repeated += Self.repeated(in: segment, consumers, needs)
        for node in repeated[first...] {
          again[node] = time
          time += 1
        }
        repeats[segment.upperBound - 1] = first..<repeated.count
      }
      for node in segment.reversed() {
        backward[node] = time
        time += 1
      }
    }
    backwardEnd = backward
    for node in network.nodes.indices {
      guard let asked = network.nodeToAsk(forGradientOf: node, needs, consumers[node]) else { continue }
      askedForGradient[node] = asked
      backwardEnd[asked] = backward[node]
    }
  }

  /// The nodes of a segment whose output is gone when backward reads it, or when another of them does.
  private static func repeated(
    in segment: Range<Int>, _ consumers: [[Int]], _ needs: [MemoryNeeds]
  ) -> [Int] {
    var found: Set<Int> = []
    for node in segment.reversed() where consumers[node].allSatisfy(segment.contains) {
      if needs[node].backwardReadsOutput
        || consumers[node].contains(where: { needs[$0].backwardReadsInput || found.contains($0) })
      {
        found.insert(node)
      }
    }
    return found.sorted()
  }
}

extension Network {
  /// The only reader of a node's output, where the node can do with parts of the gradient, which the reader can leave
  /// until then.
  fileprivate func nodeToAsk(forGradientOf node: Int, _ needs: [MemoryNeeds], _ consumers: [Int]) -> Int? {
    guard needs[node].partOfOutputGradient > 0, nodes[node].isTrained, consumers.count == 1,
      needs[consumers[0]].leavesInputGradient, nodes[consumers[0]].inputs == [.node(node)],
      nodes[node].inputs.allSatisfy({ $0.wantsNoGradient(in: self) })
    else { return nil }
    return consumers[0]
  }

  /// The nodes behind which the network can be cut for `ActivationCheckpointing.blocks`: a single output crosses.
  var cuts: [Int] {
    let consumers = consumers
    var (cuts, reach) = ([Int](), 0)
    for node in nodes.indices.dropLast() {
      if reach <= node { cuts.append(node) }
      reach = max(reach, consumers[node].max() ?? 0)
    }
    return cuts
  }

  /// The runs of nodes between cuts.
  func segments(cutAfter cuts: Set<Int>) -> [Range<Int>] {
    let ends = cuts.sorted().map { $0 + 1 } + [nodes.count]
    return zip([0] + ends, ends).map { $0..<$1 }
  }

  /// Cuts that leave `parts` segments of about as much output each.
  func evenCuts(parts: Int) -> Set<Int> {
    let possible = Set(cuts)
    let total = nodes.reduce(0) { $0 + $1.shape.blockedCount }
    var (cuts, size) = (Set<Int>(), 0)
    for node in nodes.indices {
      size += nodes[node].shape.blockedCount
      guard size * parts >= total, possible.contains(node) else { continue }
      cuts.insert(node)
      size = 0
    }
    return cuts
  }
}

extension Network.Source {
  fileprivate func wantsNoGradient(in network: Network) -> Bool {
    guard case .node(let source) = self else { return true }
    return !network.nodes[source].runsBackward
  }
}
