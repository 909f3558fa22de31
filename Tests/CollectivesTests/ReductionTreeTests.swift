import Collectives
import Tensors
import Testing

/// What the plans are measured against: the sum of a node by the definition of the tree.
func treeSum(_ node: Range<Int>, of leaves: [Float], in tree: ReductionTree) -> Float {
  guard let (left, right) = tree.children(of: node) else { return leaves[node.lowerBound] }
  return treeSum(left, of: leaves, in: tree) + treeSum(right, of: leaves, in: tree)
}

/// Leaves of widely different size, so that another order of additions gives other bits.
func testLeaves(_ count: Int, seed: UInt64) -> [Float] {
  let stream = RandomStream(seed: seed, purpose: .test(1))
  return (0..<count).map {
    stream.normal(at: 2 * $0)
      * Float(sign: .plus, exponent: stream.integer(at: 4 * $0 + 3, below: 12), significand: 1)
  }
}

/// A random cut of 0 ..< count into `parts` adjoining runs, some of them empty.
func randomRuns(_ count: Int, parts: Int, seed: UInt64) -> [Range<Int>] {
  let stream = RandomStream(seed: seed, purpose: .test(2))
  let borders = [0] + (1..<max(1, parts)).map { stream.integer(at: $0, below: count + 1) }.sorted() + [count]
  return (0..<parts).map { borders[$0]..<borders[$0 + 1] }
}

/// Runs an accumulation plan on single floats; the result of each node.
func evaluate(_ plan: AccumulationPlan, on leaves: [Float]) -> [Float] {
  var slots = Array(repeating: Float.nan, count: plan.slotCount)
  for step in plan.steps {
    switch step {
    case .leaf(let leaf, let slot): slots[slot] = leaves[leaf]
    case .add(let source, let target):
      slots[target] += slots[source]
      slots[source] = .nan
    }
  }
  return Array(slots.prefix(plan.nodes.count))
}

/// Runs a merge plan on single floats; the result of each node.
func evaluate(_ plan: MergePlan, on partials: [Float]) -> [Float] {
  var values = partials
  for addition in plan.additions {
    values[addition.target] += values[addition.source]
    values[addition.source] = .nan
  }
  return plan.results.map { values[$0.partial] }
}

@Suite struct ReductionTreeTests {
  @Test func splitsAtTheLargestPowerOfTwoBelowTheCount() {
    for (count, left) in [(2, 1), (3, 2), (4, 2), (5, 4), (7, 4), (8, 4), (9, 8), (1000, 512)] {
      let tree = ReductionTree(leaves: count)
      #expect(tree.children(of: tree.root)?.left == 0..<left)
      #expect(tree.children(of: tree.root)?.right == left..<count)
    }
    #expect(ReductionTree(leaves: 1).children(of: 0..<1) == nil)
  }

  @Test func parentsAndSiblingsAreTheInverseOfChildren() {
    for leaves in 1...40 {
      let tree = ReductionTree(leaves: leaves)
      #expect(tree.parent(of: tree.root) == nil)
      #expect(tree.sibling(of: tree.root) == nil)
      var open = [tree.root]
      while let node = open.popLast() {
        guard let (left, right) = tree.children(of: node) else { continue }
        #expect(tree.parent(of: left) == node && tree.parent(of: right) == node)
        #expect(tree.sibling(of: left) == right && tree.sibling(of: right) == left)
        #expect(tree.areSiblings(left, right) && !tree.areSiblings(right, left))
        open += [left, right]
      }
    }
  }

  @Test func maximalNodesCoverTheRunAndCannotGrow() {
    let tree = ReductionTree(leaves: 7)
    #expect(tree.maximalNodes(in: 0..<7) == [0..<7])
    #expect(tree.maximalNodes(in: 4..<7) == [4..<7])
    #expect(tree.maximalNodes(in: 3..<7) == [3..<4, 4..<7])
    #expect(tree.maximalNodes(in: 1..<6) == [1..<2, 2..<4, 4..<6])
    #expect(tree.maximalNodes(in: 3..<3).isEmpty)
    for leaves in 1...33 {
      let tree = ReductionTree(leaves: leaves)
      for start in 0..<leaves {
        for end in (start + 1)...leaves {
          let nodes = tree.maximalNodes(in: start..<end)
          #expect(nodes.flatMap(Array.init) == Array(start..<end))
          for node in nodes {
            guard let parent = tree.parent(of: node) else { continue }
            #expect(parent.lowerBound < start || parent.upperBound > end)
          }
        }
      }
    }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 11, 16, 23, 64, 100, 257])
  func plansGiveTheBitsOfTheDefinitionForAnyDivision(leaves count: Int) {
    let tree = ReductionTree(leaves: count)
    for seed in 0..<40 {
      let leaves = testLeaves(count, seed: UInt64(seed))
      let expected = treeSum(tree.root, of: leaves, in: tree)
      // Ranks, each cut into lanes: lanes merge to the rank's nodes, ranks to the root.
      var nodes: [Range<Int>] = []
      var values: [Float] = []
      for (rank, rankRun) in randomRuns(count, parts: 1 + seed % 6, seed: UInt64(seed)).enumerated() {
        var laneNodes: [Range<Int>] = []
        var laneValues: [Float] = []
        for run in randomRuns(rankRun.count, parts: 1 + (seed + rank) % 3, seed: UInt64(seed + 100)) {
          let lane = AccumulationPlan(
            tree: tree, run: (run.lowerBound + rankRun.lowerBound)..<(run.upperBound + rankRun.lowerBound))
          laneNodes += lane.nodes
          laneValues += evaluate(lane, on: leaves)
        }
        let merge = MergePlan(tree: tree, partials: laneNodes)
        #expect(merge.results.map(\.node) == tree.maximalNodes(in: rankRun))
        nodes += merge.results.map(\.node)
        values += evaluate(merge, on: laneValues)
      }
      let merge = MergePlan(tree: tree, partials: nodes)
      #expect(merge.results.map(\.node) == [tree.root] && merge.results.map(\.partial) == [0])
      #expect(evaluate(merge, on: values).map(\.bitPattern) == [expected.bitPattern])
    }
  }

  @Test func aLaneNeedsAtMostTheLogarithmOfItsRunInScratch() {
    for leaves in 1...130 {
      let tree = ReductionTree(leaves: leaves)
      for seed in 0..<6 {
        for run in randomRuns(leaves, parts: 3, seed: UInt64(seed)) + [tree.root] where !run.isEmpty {
          let plan = AccumulationPlan(tree: tree, run: run)
          let depth = Int.bitWidth - (run.count - 1).leadingZeroBitCount
          #expect(run.count == 1 ? plan.scratchCount == 0 : plan.scratchCount <= depth)
        }
      }
    }
    #expect(AccumulationPlan(tree: ReductionTree(leaves: 8), run: 0..<8).scratchCount == 3)
  }

  @Test func theOrderOfAdditionsMattersForTheTestData() {
    // Guards the tests above: with these leaves another order does give other bits.
    let differing = (0..<40).count { seed in
      let leaves = testLeaves(23, seed: UInt64(seed))
      return leaves.reduce(0, +) != treeSum(0..<23, of: leaves, in: ReductionTree(leaves: 23))
    }
    #expect(differing > 20)
  }
}
