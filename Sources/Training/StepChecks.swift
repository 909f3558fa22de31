import Collectives
import Models
import Tensors

/// What a rank checks in its steps: that memory holds what was written to it.
final class StepChecks: Sendable {
  private let rank: Int
  private let slices: [Range<Int>]
  private let copies: [Range<Int>]
  private let memory: MemoryGuard?
  /// The first fault that a lane of this rank found.
  private let found = Monitor<MemoryFault?>(nil)

  /// - Parameter copies: the pieces of the values that this rank holds for its node, of ranks elsewhere.
  init(
    _ config: ChecksConfig, rank: Int, layout: FlatLayout, values: FloatBuffer, update: WeightUpdate,
    copies: [Range<Int>]
  ) {
    self.rank = rank
    slices = update.optimizer.slices
    self.copies = copies
    memory =
      config.memory ? MemoryGuard(layout: layout, values: values, update: update, copies: copies) : nil
  }

  /// Looks whether a piece is as it was left. On any lane, before it is written again.
  func verify(_ piece: Range<Int>, step: Int) {
    guard let (memory, array) = memory?.fault(in: piece) else { return }
    found.update {
      $0 = $0 ?? MemoryFault(step: step, rank: rank, memory: memory, array: array)
    }
  }

  /// The same for all that this rank owns. Main thread.
  func verifyOwned(on team: ThreadTeam, step: Int) {
    guard memory != nil else { return }
    team.run { [self] lane in
      for number in stride(from: lane, to: slices.count, by: team.count) {
        verify(slices[number], step: step)
      }
    }
  }

  /// The same for all that lies in this rank's memory, its node's copies too. Main thread, when all is settled.
  func verifyAll(on team: ThreadTeam, step: Int) {
    guard memory != nil else { return }
    verifyOwned(on: team, step: step)
    for copy in copies { verify(copy, step: step) }
  }

  /// What the reducer tells of the copies in a step.
  func copyWatch(step: Int) -> GradientReducer.CopyWatch? {
    guard memory != nil, !copies.isEmpty else { return nil }
    return GradientReducer.CopyWatch { [self] in
      verify($0, step: step)
    } received: { [self] in
      remember($0)
    }
  }

  /// A piece is written. On the lane that did it.
  func remember(_ piece: Range<Int>) { memory?.remember(piece) }

  /// Everything is written anew, while no lane runs.
  func forget() { memory?.forget() }

  /// Throws what this rank's lanes have found.
  func throwFault() throws(MemoryFault) {
    if let fault = found.update({ $0 }) { throw fault }
  }
}
