/// The one order in which the gradients of a step are added, whoever computes them.
///
/// The leaves are the microbatches 0 ..< leaves; a node is a range of them. A node of more than one
/// leaf splits at the largest power of two below its count, so every left child is a full binary
/// tree, and the value of a node is `value(left) + value(right)`:
///
///     7 leaves:   0..<7 ─┬ 0..<4 ─┬ 0..<2 ─ 0, 1
///                        │        └ 2..<4 ─ 2, 3
///                        └ 4..<7 ─┬ 4..<6 ─ 4, 5
///                                 └ 6
package struct ReductionTree: Hashable, Sendable {
  package let leaves: Int

  package init(leaves: Int) {
    precondition(leaves > 0, "a reduction tree expects at least one leaf, got \(leaves)")
    self.leaves = leaves
  }

  package var root: Range<Int> { 0..<leaves }

  /// The two nodes whose sum `node` is; nil for a leaf.
  package func children(of node: Range<Int>) -> (left: Range<Int>, right: Range<Int>)? {
    guard node.count > 1 else { return nil }
    let border = node.lowerBound + Self.leftCount(of: node.count)
    return (node.lowerBound..<border, border..<node.upperBound)
  }

  /// The node that `node` is a child of; nil for the root.
  package func parent(of node: Range<Int>) -> Range<Int>? {
    var candidate = root
    while candidate != node {
      guard let (left, right) = children(of: candidate) else {
        preconditionFailure("\(node) is no node of \(self)")
      }
      if left == node || right == node { return candidate }
      candidate = node.lowerBound < right.lowerBound ? left : right
    }
    return nil
  }

  /// The node that is added to `node` to make their parent; nil for the root.
  package func sibling(of node: Range<Int>) -> Range<Int>? {
    guard let parent = parent(of: node), let (left, right) = children(of: parent) else { return nil }
    return left == node ? right : left
  }

  /// Whether `left` and `right` are, in this order, the children of one node.
  package func areSiblings(_ left: Range<Int>, _ right: Range<Int>) -> Bool {
    guard left.upperBound == right.lowerBound, let parent = parent(of: left) else { return false }
    return parent == left.lowerBound..<right.upperBound
  }

  /// The greatest nodes that lie wholly in a contiguous run of leaves, left to right; together they
  /// hold each leaf of the run once. None for an empty run.
  package func maximalNodes(in run: Range<Int>) -> [Range<Int>] {
    precondition(run.isEmpty || root.encloses(run), "a run expects to lie in \(root), got \(run)")
    var nodes: [Range<Int>] = []
    func visit(_ node: Range<Int>) {
      guard node.overlaps(run) else { return }
      if run.encloses(node) {
        nodes.append(node)
      } else if let (left, right) = children(of: node) {
        visit(left)
        visit(right)
      }
    }
    visit(root)
    return nodes
  }

  /// The largest power of two below `count`, for a count of at least 2.
  private static func leftCount(of count: Int) -> Int {
    1 << (Int.bitWidth - 1 - (count - 1).leadingZeroBitCount)
  }
}

extension Range {
  /// Whether every element of `other`, which isn't empty, lies in this range.
  fileprivate func encloses(_ other: Range) -> Bool {
    lowerBound <= other.lowerBound && other.upperBound <= upperBound
  }
}
