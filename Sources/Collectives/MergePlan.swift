/// How partial sums of several owners (lanes of a rank, ranks of a job) are added in tree order.
package struct MergePlan: Hashable, Sendable {
  /// Partial `target` += partial `source`; the target is always the left one.
  package struct Addition: Hashable, Sendable {
    package let source: Int
    package let target: Int
  }

  package struct Result: Hashable, Sendable {
    package let node: Range<Int>
    /// The partial that holds the node when all additions are done.
    package let partial: Int
  }

  /// The nodes that come in, in leaf order; additions name them by their place here.
  package let partials: [Range<Int>]
  package let additions: [Addition]
  /// The maximal nodes of all owners' leaves together, left to right.
  package let results: [Result]

  /// The plan for adjoining nodes in leaf order: the owners' `AccumulationPlan.nodes`, one after another.
  package init(tree: ReductionTree, partials: [Range<Int>]) {
    var additions: [Addition] = []
    var stack: [Result] = []
    for (index, node) in partials.enumerated() {
      precondition(
        index == 0 || partials[index - 1].upperBound == node.lowerBound,
        "partial sums expect to adjoin in leaf order, got \(partials)")
      stack.append(Result(node: node, partial: index))
      while stack.count > 1, tree.areSiblings(stack[stack.count - 2].node, stack[stack.count - 1].node) {
        let right = stack.removeLast()
        let left = stack.removeLast()
        additions.append(Addition(source: right.partial, target: left.partial))
        stack.append(Result(node: left.node.lowerBound..<right.node.upperBound, partial: left.partial))
      }
    }
    self.partials = partials
    self.additions = additions
    results = stack
  }
}
