import Layers
import Tensors

/// A network compiled for waves of at most `images` images: where every activation, saved value and
/// gradient lies in the arena of a lane. Laid out once; nothing is allocated in a step.
///
/// Time runs over the operators (`PlanSchedule`). Whatever is not needed at the same time may share memory. Nodes
/// before the first that is trained have no backward pass, and nothing is kept for one.
package struct Plan: Sendable {
  /// Where backward writes the gradient of one input.
  package enum GradientTarget: Sendable, Equatable {
    /// Nobody needs it: the input is the images, or nothing before it is trained.
    case none
    /// Straight into the source's gradient.
    case direct(offset: Int)
    /// Added by the layer to the source's gradient, which another consumer began.
    case summed(offset: Int)
    /// To `offset` first, then added to the source's gradient, which another consumer began.
    case added(offset: Int, to: Int)
  }

  package let network: Network
  /// The most images and microbatches of a wave.
  package let images: Int
  package let microbatches: Int
  package let mode: Mode
  package let kernels: InstructionSet
  private let arena: ArenaLayout
  /// Floats of a lane's scratch.
  package let scratchCount: Int

  package init(
    _ network: Network, images: Int, microbatches: Int = 1, mode: Mode,
    checkpointing: ActivationCheckpointing = .none, kernels: InstructionSet
  ) {
    precondition(images > 0, "a plan expects at least one image, got \(images)")
    precondition(microbatches > 0, "a plan expects at least one microbatch, got \(microbatches)")
    self.network = network
    self.images = images
    self.microbatches = microbatches
    self.mode = mode
    self.kernels = kernels
    let needs = network.nodes.map { $0.memoryNeeds(images: images, kernels: kernels) }
    func layout(_ cuts: Set<Int>) -> ArenaLayout {
      ArenaLayout(
        network, needs: needs, images: images, microbatches: microbatches, mode: mode,
        schedule: PlanSchedule(network, needs: needs, mode: mode, segments: network.segments(cutAfter: cuts)))
    }
    let isCheckpointed = mode == .training && checkpointing == .blocks
    arena = isCheckpointed ? Self.checkpointed(network, layout) : layout([])
    scratchCount =
      zip(needs, arena.schedule.askedForGradient)
      .map { $1 == nil ? $0.scratch : $0.scratch + $0.partScratch }.max() ?? 0
  }

  /// The layout with the cuts that make the arena small: of some even ways to cut the best, and then a cut more or
  /// less wherever that saves a hundredth at least.
  private static func checkpointed(_ network: Network, _ layout: (Set<Int>) -> ArenaLayout) -> ArenaLayout {
    func isBetter(_ a: ArenaLayout, than b: ArenaLayout) -> Bool { 100 * a.count < 99 * b.count }
    var (cuts, best) = (Set<Int>(), layout([]))
    func consider(_ others: Set<Int>) -> Bool {
      let other = layout(others)
      guard isBetter(other, than: best) else { return false }
      (cuts, best) = (others, other)
      return true
    }
    for parts in 2...16 { _ = consider(network.evenCuts(parts: parts)) }
    var improves = true
    while improves {
      improves = false
      for cut in network.cuts where consider(cuts.symmetricDifference([cut])) { improves = true }
    }
    return best
  }

  /// Offset in the arena of the wave's images, planar where several microbatches are to be gathered,
  /// and blocked where a layer wants them so.
  package var planarImages: Int? { arena.planarImages }
  package var blockedImages: Int? { arena.blockedImages }
  /// Offset in the arena of each node's output after forward, and of the one that backward sees, which is another
  /// where the node runs again; of its saved values and (training) of its output's gradient.
  package var outputs: [Int] { arena.outputs }
  package var lateOutputs: [Int] { arena.lateOutputs }
  package var saved: [Int] { arena.saved }
  package var gradients: [Int] { arena.gradients }
  /// For each node and each of its inputs.
  package var gradientTargets: [[GradientTarget]] { arena.gradientTargets }
  /// The nodes whose forward runs again on the way back, in that order; and by node, the positions in it of those
  /// that must run right before its backward.
  package var repeated: [Int] { arena.schedule.repeated }
  package var repeats: [Range<Int>] { arena.schedule.repeats }
  /// By node, the one behind it that it asks for the gradient of its output, for which the arena has no room.
  package var askedForGradient: [Int?] { arena.schedule.askedForGradient }
  /// Floats of a lane's arena.
  package var arenaCount: Int { arena.count }
}

extension Network.Node {
  /// What the layer needs, as far as backward gets to it.
  package func memoryNeeds(images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = layer.memory(for: inputShapes, images: images, kernels: kernels)
    if !runsBackward {
      (needs.backwardReadsInput, needs.backwardReadsOutput) = (false, false)
      needs.prepared -= needs.preparedForBackward
      needs.preparedForBackward = 0
    }
    if isFrozen && needs.onlyParametersReadInput { needs.backwardReadsInput = false }
    return needs
  }

  /// How forward runs in a plan: pooling need not remember its winners where no gradient comes back.
  func mode(in mode: Mode) -> Mode { !runsBackward && layer is MaxPool2d ? .inference : mode }

  /// How the weights are made ready.
  func preparation(in mode: Mode) -> Mode { runsBackward ? mode : .inference }
}
