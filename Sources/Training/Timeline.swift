import Tensors

/// What a rank or one of its lanes is busy with.
package enum Phase: UInt8, CaseIterable, Sendable {
  /// A rank's phases, one after another.
  case wait, compute, reduce, update, gather, check, evaluation, checkpoint
  /// A lane's, within `compute`: in forward and backward it waits for new values (`gather`), adds up and sends
  /// (`reduce`) and updates between two operators; at the end it helps to finish what is left.
  case forward, backward, finish

  package var name: String { self == .wait ? "wait for data" : "\(self)" }
}

/// One span of time on a track; seconds of this process's monotonic clock.
package struct Span: Sendable, Equatable {
  package var phase: Phase
  package var step: Int32
  package var start: Double
  package var end: Double
}

/// The spans of one thread, written by it alone: no locks, and no memory but that of the beginning.
///
/// Sums of seconds are always kept. Spans are kept only where a trace is wanted; when the ring is full the
/// oldest give way. Others read a track when its thread rests (`ThreadTeam.run` has returned).
package final class Track: @unchecked Sendable {
  private let ring: UnsafeMutableBufferPointer<Span>
  private var written = 0
  private let sums: UnsafeMutableBufferPointer<Double>
  /// The step that spans belong to.
  package var step = 0
  /// How many phases the thread is in, and the seconds of those that ended in the innermost.
  private var depth = 0
  private var inside = 0.0

  /// Spans that nobody could see are counted, but not kept.
  private static let shortest = 2e-6

  package init(capacity: Int) {
    ring = .allocate(capacity: capacity)
    ring.initialize(repeating: Span(phase: .wait, step: 0, start: 0, end: 0))
    sums = .allocate(capacity: Phase.allCases.count)
    sums.initialize(repeating: 0)
  }

  deinit {
    ring.deallocate()
    sums.deallocate()
  }

  /// Keeps a span that no other is inside of.
  package func record(_ phase: Phase, from start: Double, to end: Double) {
    sums[Int(phase.rawValue)] += end - start
    keep(phase, from: start, to: end)
  }

  private func keep(_ phase: Phase, from start: Double, to end: Double) {
    guard ring.count > 0, end - start > Self.shortest else { return }
    ring[written % ring.count] = Span(
      phase: phase, step: Int32(truncatingIfNeeded: step), start: start, end: end)
    written += 1
  }

  /// Measures `body`, without the time that it spends in phases measured inside of it. What `counts` says no
  /// to was too little to be called this phase and stays with the one around it.
  @discardableResult
  package func measure<Result>(
    _ phase: Phase, where counts: (Result) -> Bool = { _ in true }, _ body: () throws -> Result
  ) rethrows -> Result {
    let around = inside
    (inside, depth) = (0, depth + 1)
    let start = monotonicSeconds()
    defer { depth -= 1 }
    let result: Result
    do {
      result = try body()
    } catch {
      inside = around
      throw error
    }
    guard counts(result) else {
      inside += around
      return result
    }
    let end = monotonicSeconds()
    sums[Int(phase.rawValue)] += end - start - inside
    inside = around + end - start
    keep(phase, from: start, to: end)
    return result
  }

  /// The same where this thread is in another phase of the track; elsewhere somebody else measures.
  func measureInside(_ phase: Phase, _ body: () -> Void) {
    if depth > 0 { measure(phase, body) } else { body() }
  }

  /// Seconds in a phase since the beginning, without those in phases inside of it.
  package func seconds(in phase: Phase) -> Double { sums[Int(phase.rawValue)] }

  /// The newest spans, oldest first, as many as there is room for.
  package var spans: [Span] {
    (max(0, written - ring.count)..<written).map { ring[$0 % ring.count] }
  }

  /// How many spans had to give way.
  package var lost: Int { max(0, written - ring.count) }
}

/// What a rank spends its time on: a track for the rank itself and one for each lane.
package final class Timeline: Sendable {
  package let rank: Track
  package let lanes: [Track]

  /// Room for about an hour of short steps, 2 MB a track.
  package static let traceCapacity = 1 << 16

  package init(lanes: Int, capacity: Int) {
    rank = Track(capacity: capacity)
    self.lanes = (0..<lanes).map { _ in Track(capacity: capacity) }
  }

  /// Seconds so far in each phase, and those in which lanes computed, added up. What lanes did for the
  /// exchange while the rank computed counts, on average over the lanes, as what it was.
  package var totals: PhaseTotals {
    func inLanes(_ phase: Phase) -> Double {
      lanes.reduce(0) { $0 + $1.seconds(in: phase) } / Double(lanes.count)
    }
    let exchanged: [Phase: Double] = [
      .reduce: inLanes(.reduce) + inLanes(.finish), .update: inLanes(.update), .gather: inLanes(.gather),
    ]
    var totals = PhaseTotals()
    totals.laneSeconds = (inLanes(.forward) + inLanes(.backward)) * Double(lanes.count)
    totals.seconds = PhaseTotals.phases.map { phase in
      let others = phase == .compute ? -exchanged.values.reduce(0, +) : exchanged[phase, default: 0]
      return rank.seconds(in: phase) + others
    }
    return totals
  }
}

/// Seconds of a rank by phase.
package struct PhaseTotals: Codable, Sendable {
  /// What makes up a step.
  static let phases: [Phase] = [.wait, .compute, .reduce, .update, .gather, .check]

  /// In the order of `phases`.
  package var seconds: [Double] = []
  package var laneSeconds = 0.0
  package var images = 0

  package init() {}

  /// Seconds in one of `phases`.
  func seconds(in phase: Phase) -> Double {
    zip(Self.phases, seconds).reduce(0) { $1.0 == phase ? $0 + $1.1 : $0 }
  }

  static func - (a: Self, b: Self) -> Self {
    var difference = PhaseTotals()
    difference.seconds = zip(a.seconds, b.seconds).map { $0 - $1 }
    (difference.laneSeconds, difference.images) = (a.laneSeconds - b.laneSeconds, a.images - b.images)
    return difference
  }
}

/// How the time of an epoch's steps divides: shares that add up to 1 with what isn't measured.
package struct TimeDivision: Codable, Sendable, Equatable {
  package var wait: Double
  package var compute: Double
  package var reduce: Double
  package var update: Double
  package var gather: Double
  package var check: Double

  /// The mean of the ranks' divisions over `seconds`.
  init(_ ranks: [PhaseTotals], seconds: Double) {
    let shares = PhaseTotals.phases.indices.map { phase in
      ranks.reduce(0) { $0 + $1.seconds[phase] } / Double(ranks.count) / max(seconds, .leastNormalMagnitude)
    }
    self.init(shares)
  }

  /// In the order of `PhaseTotals.phases`.
  private init(_ shares: [Double]) {
    (wait, compute, reduce) = (shares[0], shares[1], shares[2])
    (update, gather, check) = (shares[3], shares[4], shares[5])
  }

  private var shares: [Double] { [wait, compute, reduce, update, gather, check] }

  /// Of several measurements of the same steps; all zero for none.
  package static func mean(_ divisions: [TimeDivision]) -> TimeDivision {
    TimeDivision(
      PhaseTotals.phases.indices.map { phase in
        divisions.reduce(0) { $0 + $1.shares[phase] } / Double(max(1, divisions.count))
      })
  }
}

/// A rank whose lanes need longer for an image than those of others.
package struct Straggler: Equatable, Sendable {
  package let rank: Int
  /// Seconds of a lane for an image, on this rank and on the median rank.
  package let secondsAnImage: Double
  package let median: Double

  func text(host: String) -> String {
    func milliseconds(_ seconds: Double) -> Double { (seconds * 1e5).rounded() / 100 }
    return "rank \(rank) on \(host) slows the job down: its lanes compute an image in "
      + "\(milliseconds(secondsAnImage)) ms, those of the median rank in \(milliseconds(median)) ms"
  }

  /// How much longer than the median it takes to be named.
  private static let threshold = 1.25

  /// The slowest rank, if it is slow: by the lanes' own time, which no waiting for others hides.
  package static func among(_ ranks: [PhaseTotals]) -> Straggler? {
    let times = ranks.map { $0.images > 0 ? $0.laneSeconds / Double($0.images) : 0 }
    let known = times.filter { $0 > 0 }.sorted()
    guard known.count > 1, let slowest = known.last, let rank = times.firstIndex(of: slowest) else {
      return nil
    }
    // Of two, the faster.
    let median = known[(known.count - 1) / 2]
    // A few short steps say nothing.
    guard slowest > threshold * median, ranks[rank].laneSeconds >= 1 else { return nil }
    return Straggler(rank: rank, secondsAnImage: slowest, median: median)
  }
}
