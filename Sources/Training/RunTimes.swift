import Collectives

/// What the steps of a run take, since it was started or resumed: of time, in all and by what it goes into.
struct RunTimes {
  private let timeline: Timeline
  /// Images that this rank computed.
  private(set) var ownImages = 0
  /// Images of all ranks, and seconds.
  private(set) var images = 0
  private(set) var seconds = 0.0
  /// The same since the epoch began.
  private(set) var epochImages = 0
  private(set) var epochSeconds = 0.0
  /// What the phases had taken then.
  private var before: PhaseTotals
  private var knownStraggler: Int?

  init(_ timeline: Timeline) {
    self.timeline = timeline
    before = timeline.totals
  }

  mutating func add(_ batch: StepBatch, seconds stepSeconds: Double) {
    ownImages += batch.local.reduce(0) { $0 + $1.images }
    images += batch.images
    epochImages += batch.images
    seconds += stepSeconds
    epochSeconds += stepSeconds
  }

  /// How the epoch's time divides, on average over the ranks, and a rank that is slow and wasn't in the epoch
  /// before. Collective.
  mutating func divideEpoch(_ communicator: Communicator) throws -> (TimeDivision, newStraggler: Straggler?) {
    let ranks = try communicator.exchange(totals - before)
    let straggler = Straggler.among(ranks)
    defer { knownStraggler = straggler?.rank }
    return (
      TimeDivision(ranks, seconds: epochSeconds), straggler?.rank == knownStraggler ? nil : straggler
    )
  }

  mutating func beginEpoch() {
    (epochImages, epochSeconds) = (0, 0)
    before = totals
  }

  private var totals: PhaseTotals {
    var totals = timeline.totals
    totals.images = ownImages
    return totals
  }
}
