import CKernels
import Tensors

/// Where a rank keeps a partial sum of a step: a node of the tree, and the buffer that holds its flat sums.
package struct PartialSum: Hashable, Sendable {
  package let node: Range<Int>
  /// Among this rank's buffers for partial sums.
  package let buffer: Int

  package init(node: Range<Int>, buffer: Int) {
    (self.node, self.buffer) = (node, buffer)
  }
}

/// One rank's part in summing a step's gradients: what it adds up, what it sends and what arrives.
///
/// The lanes of all ranks of a group are one set of partial sums in leaf order. Who is responsible for a
/// piece (its owner, or the owner's deputy in another group) adds them up in place, as far as the tree
/// allows: to the maximal nodes of the group's run. Those are what groups send each other, and the owner
/// adds them to the root.
package final class ExchangePlan {
  package let division: WorkDivision
  /// Partial sums that groups send each other for a piece: one a group where runs align with subtrees.
  package let partialCount: Int
  /// Bytes that this rank sends in a step: partial sums and, to each other group, new values.
  package let bytesSent: Int
  /// The group's maximal nodes that this rank sends to each owner it is the deputy for.
  let results: [UnsafeMutablePointer<Float>]
  /// This rank's own partial sums, in leaf order.
  let ownSums: [UnsafeMutablePointer<Float>]
  /// By arrival: the rank that it comes from.
  let arrivalSources: [Int]

  /// target += source; numbers of `locals`, and behind them the arrivals.
  private struct Step {
    let target: Int
    let source: Int
    /// What the target holds then.
    let node: Range<Int>
  }

  private let locals: [UnsafeMutablePointer<Float>]
  private let localSteps: [Step]
  private let rootSteps: [Step]
  private let root: Int
  /// Where sums are added up by stages, in place of `rootSteps`.
  private let stagedPlan: StagedPlan?
  private let kernels: UnsafePointer<cnn_reduction_kernels>
  /// Takes the root where it would be left in the memory for arrivals.
  private let idleSums: FloatBuffer?

  /// - Parameters:
  ///   - sums: every rank's partial sums, by world rank.
  ///   - memory: where those of this rank's group lie.
  ///   - packs: whether sums of gradients travel as bf16.
  ///   - idleSums: a whole flat buffer, for a group without microbatches; nil elsewhere.
  init(
    _ division: WorkDivision, sums: [[PartialSum]], memory: NodeMemory, buckets: Buckets, rank: Int,
    packs: Bool, fanIn: Int = 0, idleSums: FloatBuffer?, kernels: UnsafePointer<cnn_reduction_kernels>
  ) {
    let (groups, tree) = (memory.groups, division.tree)
    let own = groups.group(of: rank)
    let groupNodes = groups.members.map { members in Self.nodes(of: members, division) }
    let partials = groups.members[own].enumerated().flatMap { place, member in
      sums[member].map {
        (node: $0.node, start: memory.partials[place][$0.buffer].pointer, mine: member == rank)
      }
    }.sorted { $0.node.lowerBound < $1.node.lowerBound }
    // Sums are left in this rank's own buffers where there is a choice: others' caches stay alone.
    let local = Self.steps(
      MergePlan(tree: tree, partials: partials.map(\.node)), operands: Array(partials.indices),
      preference: partials.map { $0.mine ? 2 : 1 })
    precondition(
      local.results.map(\.node) == groupNodes[own],
      "partial sums of \(partials.map(\.node)) don't add up to \(groupNodes[own])")

    var operands: [(node: Range<Int>, operand: Int)] = local.results
    var sources: [Int] = []
    for group in groups.members.indices where group != own {
      for node in groupNodes[group] {
        operands.append((node, partials.count + sources.count))
        sources.append(groups.deputy(for: rank, in: group))
      }
    }
    operands.sort { $0.node.lowerBound < $1.node.lowerBound }
    let whole = Self.steps(
      MergePlan(tree: tree, partials: operands.map(\.node)), operands: operands.map(\.operand),
      preference: partials.map { $0.mine ? 2 : 1 } + sources.map { _ in 0 })
    precondition(
      whole.results.map(\.node) == [tree.root], "the runs \(division.rankRuns) don't add up to \(tree)")
    precondition(
      whole.results[0].operand < partials.count || idleSums != nil, "sums that only arrive need a place")
    stagedPlan =
      fanIn == 0 || groups.count == 1
      ? nil
      : StagedPlan(
        ExchangeSchedule(division, groups: groups, fanIn: fanIn), groups: groups, rank: rank,
        results: local.results.map { ($0.node, partials[$0.operand].start) })

    self.division = division
    self.kernels = kernels
    self.idleSums = idleSums
    locals = partials.map(\.start)
    localSteps = local.steps
    rootSteps = whole.steps
    root = whole.results[0].operand
    results = local.results.map { partials[$0.operand].start }
    ownSums = partials.filter(\.mine).map(\.start)
    arrivalSources = sources
    partialCount = groupNodes.reduce(0) { $0 + $1.count }
    if let stagedPlan {
      bytesSent = stagedPlan.bytesSent(buckets)
      return
    }
    var bytes = 0
    for bucket in 0..<buckets.count {
      for owner in groups.owners(dealingWith: rank) {
        let size = packs && bucket >= buckets.tailCount ? 2 : 4
        bytes += buckets.piece(bucket, of: owner).count * groupNodes[own].count * size
      }
      bytes += buckets.piece(bucket, of: rank).count * (groups.count - 1) * 4
    }
    bytesSent = bytes
  }

  /// The maximal nodes of the run of a group.
  private static func nodes(of members: [Int], _ division: WorkDivision) -> [Range<Int>] {
    let runs = members.map { division.rankRuns[$0] }.filter { !$0.isEmpty }
      .sorted { $0.lowerBound < $1.lowerBound }
    guard let first = runs.first, let last = runs.last else { return [] }
    precondition(
      zip(runs, runs.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound },
      "the ranks of a node expect adjoining runs of microbatches, got \(runs)")
    return division.tree.maximalNodes(in: first.lowerBound..<last.upperBound)
  }

  /// The additions of a merge on given operands, each left in the operand with the higher preference:
  /// a + b and b + a have the same bits.
  private static func steps(_ merge: MergePlan, operands: [Int], preference: [Int])
    -> (steps: [Step], results: [(node: Range<Int>, operand: Int)])
  {
    var places = operands
    var nodes = merge.partials
    var steps: [Step] = []
    for addition in merge.additions {
      let (left, right) = (places[addition.target], places[addition.source])
      let keepsLeft = preference[left] >= preference[right]
      let node = nodes[addition.target].lowerBound..<nodes[addition.source].upperBound
      steps.append(Step(target: keepsLeft ? left : right, source: keepsLeft ? right : left, node: node))
      nodes[addition.target] = node
      places[addition.target] = keepsLeft ? left : right
    }
    return (steps, merge.results.map { ($0.node, places[$0.partial]) })
  }

  /// Floats that are added up at a time: a few blocks of this size stay in the first cache levels.
  private static let block = 4 * FlatLayout.chunk

  /// Adds the group's partial sums of a piece to `results`, in place.
  func addLocals(_ piece: Range<Int>, rounding: NodeRounding?) {
    guard !localSteps.isEmpty else { return }
    for start in stride(from: piece.lowerBound, to: piece.upperBound, by: Self.block) {
      let count = min(Self.block, piece.upperBound - start)
      for step in localSteps {
        add(locals[step.target] + start, locals[step.source] + start, count, step.node, start, rounding)
      }
    }
  }

  /// Adds `results` and what arrived, one arrival after another at `arrivals`, to the root: `sums`.
  func addRoot(_ piece: Range<Int>, arrivals: UnsafeMutablePointer<Float>, rounding: NodeRounding?) {
    // By stages all is added up as it arrives.
    guard stagedPlan == nil else { return }
    func address(_ operand: Int, _ place: Int) -> UnsafeMutablePointer<Float> {
      operand < locals.count
        ? locals[operand] + place
        : arrivals + (operand - locals.count) * piece.count + place - piece.lowerBound
    }
    for start in stride(from: piece.lowerBound, to: piece.upperBound, by: Self.block) {
      let count = min(Self.block, piece.upperBound - start)
      for step in rootSteps {
        add(address(step.target, start), address(step.source, start), count, step.node, start, rounding)
      }
      if let idleSums, root >= locals.count {
        (idleSums.pointer + start).update(from: address(root, start), count: count)
      }
    }
  }

  private func add(
    _ sum: UnsafeMutablePointer<Float>, _ term: UnsafePointer<Float>, _ count: Int, _ node: Range<Int>,
    _ place: Int, _ rounding: NodeRounding?
  ) {
    if let rounding {
      rounding.add(sum, term, count: count, node: node, place: place)
    } else {
      kernels.pointee.add(sum, term, count)
    }
  }

  /// Of a reducer that adds up by stages.
  var staged: StagedPlan {
    guard let stagedPlan else { preconditionFailure("a plan without stages expects other messages") }
    return stagedPlan
  }

  /// Keeps a piece of the root's sum that has only arrived.
  func keepArrivedRoot(_ piece: Range<Int>, _ sums: UnsafePointer<Float>) {
    guard let idleSums else { preconditionFailure("sums that only arrive need a place") }
    (idleSums.pointer + piece.lowerBound).update(from: sums, count: piece.count)
  }

  /// The flat buffer in whose pieces of this rank the sums are left.
  var sums: UnsafeMutablePointer<Float> {
    if let stagedPlan {
      if case .flat(let sums) = stagedPlan.root { return sums }
    } else if root < locals.count {
      return locals[root]
    }
    guard let idleSums else { preconditionFailure("sums that only arrive need a place") }
    return idleSums.pointer
  }

  var hasLocals: Bool { !locals.isEmpty }
}
