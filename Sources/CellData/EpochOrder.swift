import Tensors

/// Which image stands where: epochs are cut into steps, steps into microbatches, whoever computes
/// them. Pure functions of the seed and the epoch.
///
/// Step s holds the positions s·batch ..< min((s + 1)·batch, count) of the epoch. It is cut into
/// ⌈images / microbatch⌉ microbatches whose sizes differ by at most one, the larger ones first.
package struct EpochOrder: Sendable, Equatable {
  /// Images of the split.
  package let count: Int
  package let batch: Int
  package let microbatch: Int
  /// Whether a last batch that is not full is left out.
  package let dropLast: Bool

  package init(count: Int, batch: Int, microbatch: Int, dropLast: Bool = false) {
    precondition(
      count > 0 && batch > 0 && microbatch > 0, "an epoch expects images, a batch and a microbatch")
    self.count = count
    self.batch = batch
    self.microbatch = microbatch
    self.dropLast = dropLast && count >= batch
  }

  package var stepsPerEpoch: Int { dropLast ? count / batch : (count + batch - 1) / batch }

  /// Images that an epoch trains on.
  package var imagesPerEpoch: Int { dropLast ? count / batch * batch : count }

  /// The positions in the epoch that a step holds.
  package func positions(ofStep step: Int) -> Range<Int> {
    precondition(step >= 0 && step < stepsPerEpoch, "a step expects 0 ..< \(stepsPerEpoch), got \(step)")
    return (step * batch)..<min((step + 1) * batch, count)
  }

  /// The positions of each microbatch of a step.
  package func microbatches(ofStep step: Int) -> [Range<Int>] {
    Self.microbatches(of: positions(ofStep: step), size: microbatch)
  }

  /// Cuts positions into ⌈count / size⌉ nearly equal parts.
  package static func microbatches(of positions: Range<Int>, size: Int) -> [Range<Int>] {
    let parts = (positions.count + size - 1) / size
    var start = positions.lowerBound
    return (0..<parts).map { part in
      let images = positions.count / parts + (part < positions.count % parts ? 1 : 0)
      defer { start += images }
      return start..<(start + images)
    }
  }

  /// The numbers of microbatches that steps have: of a full batch, and of a short last one.
  package var microbatchCounts: [Int] {
    Array(Set([0, stepsPerEpoch - 1].map { microbatches(ofStep: $0).count })).sorted()
  }

  /// For each position of an epoch, the index of its image in the split; shuffled by seed and epoch.
  package func shuffled(seed: UInt64, epoch: Int) -> [Int] {
    RandomStream(seed: seed, purpose: .shuffle, epoch: epoch).permutation(count: count)
  }
}
