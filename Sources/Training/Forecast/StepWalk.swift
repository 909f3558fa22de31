/// One rank's way through steps, second by second, where all ranks do the same at the same time: the closed form
/// of a step, since whoever knows one rank's clock knows all.
///
/// It goes the way of `TrainingStep` and `GradientReducer`: between two operators a lane takes what has arrived a
/// round further, updates, sends sums before values and the values of the front first; forward waits for the
/// buckets of its operators, backward for all of the last step. The node's link carries one message after
/// another, each as long as its bytes take, and each arrives a latency after it has left:
///
///     left(m)    = max(posted(m), left(m − 1)) + bytes(m) / bandwidth
///     arrived(m) = left(m) + latency
package struct StepWalk {
  /// What a bucket's messages of a round cost a rank and its node.
  package struct Hop: Sendable, Equatable {
    /// What the node's link carries, in the direction that has more.
    package var linkBytes: Double
    /// The same of one rank.
    package var laneBytes: Double
    /// That a rank sends and gets.
    package var messages: Int
    /// What a rank adds to its sums when they are there.
    package var addSeconds: Double

    package init(linkBytes: Double, laneBytes: Double? = nil, messages: Int, addSeconds: Double) {
      (self.linkBytes, self.messages, self.addSeconds) = (linkBytes, messages, addSeconds)
      self.laneBytes = laneBytes ?? linkBytes
    }
  }

  package struct Costs: Sendable {
    /// By node, of a lane.
    package var forward: [Double] = []
    package var backward: [Double] = []
    /// Between the two.
    package var other = 0.0
    /// How often a lane looks for messages in a node's backward pass.
    package var polls = 1
    /// By node: the buckets it waits for, and how many are final behind its backward pass.
    package var needed: [Range<Int>] = []
    package var finalAfter: [Int] = []
    package var tailCount = 0
    /// By bucket: adding up within the node, the rounds of sums, the update, the rounds of values.
    package var local: [Double] = []
    package var sums: [[Hop]] = []
    package var update: [Double] = []
    package var values: [[Hop]] = []
    package var network = NetworkFigures(bytesPerSecond: .infinity, latencySeconds: 0, messageSeconds: 0)

    package init() {}

    /// What sending a hop's messages costs a lane, or getting them.
    func halfOfMessages(_ hop: Hop) -> Double {
      (Double(hop.messages) * network.messageSeconds + hop.laneBytes * network.secondsPerByte) / 2
    }
  }

  /// What a rank does, in its order: what a trace of it is made of.
  package enum Event: Equatable, Sendable {
    case compute(Double)
    /// Sends its messages of a bucket's round, and is ready for those of others.
    case post(bucket: Int, round: Int, values: Bool)
    /// Has the messages of others.
    case await(bucket: Int, round: Int, values: Bool)
    case step
  }

  private enum Stage: Equatable {
    case open
    case final
    case sums(round: Int, left: Double)
    case updated
    case values(round: Int, left: Double)
    case settled
  }

  private let costs: Costs
  private var stages: [Stage]
  private var linkFree = 0.0
  /// When the last message of sums leaves.
  private var sumsLeave = 0.0
  package private(set) var now = 0.0
  package private(set) var events: [Event] = []
  /// By step: when it was over.
  package private(set) var ends: [Double] = []
  private let keepsEvents: Bool

  package init(_ costs: Costs, keepsEvents: Bool = false) {
    self.costs = costs
    self.keepsEvents = keepsEvents
    stages = Array(repeating: .settled, count: costs.sums.count)
  }

  /// Seconds of a step when steps follow each other; the first ones have nothing to wait for.
  package static func stepSeconds(_ costs: Costs) -> Double {
    var walk = StepWalk(costs)
    for _ in 0..<6 { walk.step() }
    return (walk.ends[5] - walk.ends[2]) / 3
  }

  package mutating func step() {
    for node in costs.forward.indices {
      wait { walk in walk.costs.needed[node].allSatisfy { walk.stages[$0] == .settled } }
      spend(costs.forward[node])
      poll()
    }
    spend(costs.other)
    wait { $0.stages.allSatisfy { $0 == .settled } }
    for bucket in stages.indices { stages[bucket] = bucket < costs.tailCount ? .final : .open }
    for node in costs.backward.indices.reversed() {
      for _ in 0..<costs.polls {
        spend(costs.backward[node] / Double(costs.polls))
        poll()
      }
      finish(costs.finalAfter[node])
      poll()
    }
    finish(stages.count)
    while poll() {}
    wait { $0.stages.prefix($0.costs.tailCount).allSatisfy { $0 == .settled } }
    ends.append(now)
    if keepsEvents { events.append(.step) }
  }

  /// Everything settled: nothing is on its way.
  package mutating func settle() {
    wait { $0.stages.allSatisfy { $0 == .settled } }
  }

  private mutating func finish(_ count: Int) {
    for bucket in 0..<count where stages[bucket] == .open { stages[bucket] = .final }
  }

  private mutating func spend(_ seconds: Double) {
    guard seconds > 0 else { return }
    now += seconds
    guard keepsEvents else { return }
    if case .compute(let before) = events.last {
      events[events.count - 1] = .compute(before + seconds)
    } else {
      events.append(.compute(seconds))
    }
  }

  private mutating func post(_ bucket: Int, round: Int, values: Bool) {
    let hop = (values ? costs.values : costs.sums)[bucket][round]
    spend(costs.halfOfMessages(hop))
    linkFree = max(now, linkFree) + hop.linkBytes / costs.network.bytesPerSecond
    if !values { sumsLeave = linkFree }
    stages[bucket] = values ? .values(round: round, left: linkFree) : .sums(round: round, left: linkFree)
    if keepsEvents { events.append(.post(bucket: bucket, round: round, values: values)) }
  }

  private func hasArrived(_ left: Double) -> Bool { left + costs.network.latencySeconds <= now }

  private mutating func take(_ bucket: Int, round: Int, values: Bool) {
    if keepsEvents { events.append(.await(bucket: bucket, round: round, values: values)) }
    let hop = (values ? costs.values : costs.sums)[bucket][round]
    spend(costs.halfOfMessages(hop) + hop.addSeconds)
  }

  private mutating func update(_ bucket: Int) {
    spend(costs.update[bucket])
    stages[bucket] = costs.values[bucket].isEmpty ? .settled : .updated
  }

  /// What a lane does when it comes by; whether there was anything.
  @discardableResult
  private mutating func poll() -> Bool {
    var worked = false
    for bucket in stages.indices {
      switch stages[bucket] {
      case .final:
        spend(costs.local[bucket])
        if costs.sums[bucket].isEmpty { update(bucket) } else { post(bucket, round: 0, values: false) }
      case .sums(let round, let left) where hasArrived(left):
        take(bucket, round: round, values: false)
        if round + 1 < costs.sums[bucket].count {
          post(bucket, round: round + 1, values: false)
        } else {
          update(bucket)
        }
      case .values(let round, let left) where hasArrived(left):
        take(bucket, round: round, values: true)
        if round + 1 < costs.values[bucket].count {
          post(bucket, round: round + 1, values: true)
        } else {
          stages[bucket] = .settled
        }
      default: continue
      }
      worked = true
    }
    while let bucket = nextValues {
      post(bucket, round: 0, values: true)
      worked = true
    }
    return worked
  }

  /// The bucket whose new values go next: the tail's at once, others when no sums are on their way.
  private var nextValues: Int? {
    if let tail = (0..<costs.tailCount).first(where: { stages[$0] == .updated }) { return tail }
    let inFlight = stages.count {
      if case .values(_, let left) = $0 { left > now } else { false }
    }
    guard sumsLeave <= now, inFlight < 2 else { return nil }
    return stages.lastIndex(of: .updated)
  }

  /// Time passes until a condition holds.
  private mutating func wait(until condition: (StepWalk) -> Bool) {
    while !condition(self) {
      if poll() { continue }
      var next = Double.infinity
      for stage in stages {
        switch stage {
        case .sums(_, let left), .values(_, let left):
          for moment in [left, left + costs.network.latencySeconds] where moment > now {
            next = min(next, moment)
          }
        default: break
        }
      }
      precondition(next < .infinity, "a step waits for messages that nobody sends: \(stages)")
      now = next
    }
  }
}
