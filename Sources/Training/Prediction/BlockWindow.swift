import Tensors

/// Blocks that are done in any order and leave in order. Those that are too far ahead of the next to leave wait
/// outside, which bounds the memory.
package final class BlockWindow: Sendable {
  private struct State {
    var next = 0
    var waiting: [Int: FloatBuffer] = [:]
    var failure: (any Error)?
  }

  private let state = Monitor(State())
  private let room: Int

  package init(room: Int) { self.room = room }

  /// Takes a block in, if there is room for it.
  package func offer(_ block: Int, _ values: FloatBuffer) -> Bool {
    state.update { state in
      guard block < state.next + room else { return false }
      state.waiting[block] = values
      return true
    }
  }

  /// Takes a block in as soon as there is room for it, or drops it after a failure.
  package func put(_ block: Int, _ values: FloatBuffer) {
    state.wait(until: { $0.failure != nil || block < $0.next + room }) { $0.waiting[block] = values }
  }

  /// The next block, as soon as it is there; nil after a failure, unless it is there already.
  package func take() -> FloatBuffer? {
    state.wait(until: { $0.failure != nil || $0.waiting[$0.next] != nil }) { Self.leave(&$0) }
  }

  /// The next block, if it is there.
  package func takeIfReady() -> FloatBuffer? { state.update { Self.leave(&$0) } }

  private static func leave(_ state: inout State) -> FloatBuffer? {
    guard let values = state.waiting.removeValue(forKey: state.next) else { return nil }
    state.next += 1
    return values
  }

  /// Lets everybody go who waits; the first failure counts.
  package func fail(_ error: any Error) { state.update { if $0.failure == nil { $0.failure = error } } }

  package var failure: (any Error)? { state.update { $0.failure } }
}
