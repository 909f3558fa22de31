/// How one lane adds up the gradients of its run of microbatches, one leaf after the other.
///
/// Slots are buffers: slot k < nodes.count ends holding the maximal node k of the run and may be the
/// place where that partial sum is wanted; the rest are scratch, at most log₂(leaves) of them. A lane
/// walks the same steps once per layer, so scratch is as large as the largest layer, not as the model.
package struct AccumulationPlan: Hashable, Sendable {
  package enum Step: Hashable, Sendable {
    /// Compute the gradient of microbatch `leaf` into `slot`, overwriting it.
    case leaf(Int, slot: Int)
    /// Add slot `source` into slot `target`; the source is free from then on.
    case add(source: Int, target: Int)
  }

  package let run: Range<Int>
  /// The maximal nodes of the run, left to right: what the lane hands on.
  package let nodes: [Range<Int>]
  package let steps: [Step]
  /// For each of the nodes, the steps that lead to it.
  package let stepsOfNode: [Range<Int>]
  /// The node that each step leaves in its slot.
  package let stepNodes: [Range<Int>]
  package let slotCount: Int

  package var scratchCount: Int { slotCount - nodes.count }

  package init(tree: ReductionTree, run: Range<Int>) {
    let nodes = tree.maximalNodes(in: run)
    var steps: [Step] = []
    var stepNodes: [Range<Int>] = []
    // What is computed and not yet added to its left sibling; a binary counter, in effect.
    var stack: [(node: Range<Int>, slot: Int)] = []
    var finished = 0
    var stepsOfNode: [Range<Int>] = []
    var slotCount = nodes.count
    for leaf in run {
      let scratchSlot = nodes.count + max(0, stack.count - 1)
      let slot = stack.isEmpty ? finished : scratchSlot
      slotCount = max(slotCount, slot + 1)
      steps.append(.leaf(leaf, slot: slot))
      stepNodes.append(leaf..<(leaf + 1))
      stack.append((leaf..<(leaf + 1), slot))
      while stack.count > 1, tree.areSiblings(stack[stack.count - 2].node, stack[stack.count - 1].node) {
        let right = stack.removeLast()
        let left = stack.removeLast()
        steps.append(.add(source: right.slot, target: left.slot))
        stepNodes.append(left.node.lowerBound..<right.node.upperBound)
        stack.append((left.node.lowerBound..<right.node.upperBound, left.slot))
      }
      if stack.count == 1, stack[0].node == nodes[finished] {
        stack.removeLast()
        finished += 1
        stepsOfNode.append((stepsOfNode.last?.upperBound ?? 0)..<steps.count)
      }
    }
    precondition(finished == nodes.count && stack.isEmpty, "run \(run) of \(tree) left partial sums behind")
    self.run = run
    self.nodes = nodes
    self.steps = steps
    self.stepsOfNode = stepsOfNode
    self.stepNodes = stepNodes
    self.slotCount = slotCount
  }
}
