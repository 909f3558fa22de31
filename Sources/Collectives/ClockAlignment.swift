import Tensors

/// This rank's monotonic clock in terms of rank 0's: clocks of different hosts begin at different times and
/// run at slightly different speeds.
package struct ClockAlignment: Sendable {
  /// How far rank 0's clock was ahead of this rank's, at a time of this rank's.
  package struct Reading: Sendable, Equatable {
    package let time: Double
    package let offset: Double

    package init(time: Double, offset: Double) {
      (self.time, self.offset) = (time, offset)
    }
  }

  private let start: Reading
  private let end: Reading

  package init(start: Reading, end: Reading) {
    (self.start, self.end) = (start, end)
  }

  /// A time of this rank's clock on rank 0's: the offset between the readings on a straight line.
  package func aligned(_ time: Double) -> Double {
    let span = end.time - start.time
    guard span > 1 else { return time + end.offset }
    return time + start.offset + (end.offset - start.offset) * (time - start.time) / span
  }

  private static let pings = 32

  /// Plays ping-pong with rank 0, rank after rank. Rank 0's answer came half a round trip after the
  /// question; of several the quickest is the most exact. Collective.
  package static func read(_ communicator: Communicator) throws -> Reading {
    var best = (trip: Double.infinity, offset: 0.0)
    for rank in 1..<max(1, communicator.size) {
      for _ in 0..<pings {
        if communicator.rank == rank {
          let asked = monotonicSeconds()
          try communicator.send([], to: 0)
          let answer = try communicator.receive(from: 0)
          let trip = monotonicSeconds() - asked
          let theirs = Double(bitPattern: answer.reversed().reduce(0) { $0 << 8 | UInt64($1) })
          if trip < best.trip { best = (trip, theirs - (asked + trip / 2)) }
        } else if communicator.rank == 0 {
          _ = try communicator.receive(from: rank)
          let now = monotonicSeconds().bitPattern.littleEndian
          try communicator.send(withUnsafeBytes(of: now) { Array($0) }, to: rank)
        }
      }
      try communicator.barrier()
    }
    return Reading(time: monotonicSeconds(), offset: best.offset)
  }
}
