import Collectives
import Tensors

/// A job of a given size on a given network, of parts that were measured elsewhere, and what its steps will take.
package struct ForecastJob: Sendable {
  package var parts: StepParts
  package var nodes: Int
  package var ranksPerNode: Int
  /// Of a rank.
  package var lanes: Int
  /// Microbatches in a step, over all lanes.
  package var microbatches: Int
  package var network: NetworkFigures
  /// 0 for automatic.
  package var bucketBytes = 0
  /// Of the exchange between nodes (`ExchangeSchedule`).
  package var fanIn = 0
  /// How many times as fast lanes are as the one that was measured.
  package var speed = 1.0
  /// Lanes that share a core.
  package var lanesPerCore = 1.0
  /// Whether ranks differ from each other as the one that was measured did from itself.
  package var noise = true

  package init(
    parts: StepParts, nodes: Int, ranksPerNode: Int, lanes: Int, microbatches: Int, network: NetworkFigures
  ) {
    (self.parts, self.nodes, self.ranksPerNode, self.lanes) = (parts, nodes, ranksPerNode, lanes)
    (self.microbatches, self.network) = (microbatches, network)
  }

  package var ranks: Int { nodes * ranksPerNode }
  package var workers: Int { ranks * lanes }
  package var images: Int { microbatches * parts.microbatch }

  package var buckets: Buckets {
    let bytes =
      bucketBytes == 0 ? Buckets.automaticBytes(extent: parts.extent, ranks: ranks) : bucketBytes
    return Buckets(
      extent: parts.extent, tail: parts.parameterExtent, floats: bytes / MemoryLayout<Float>.stride,
      ranks: ranks)
  }

  /// Each node's run of microbatches.
  package var runs: [Range<Int>] {
    let division = WorkDivision(
      microbatches: microbatches, lanes: Array(repeating: lanes, count: ranks), order: Array(0..<ranks))
    return (0..<nodes).map { node in
      let runs = division.rankRuns[(node * ranksPerNode)..<((node + 1) * ranksPerNode)].filter { !$0.isEmpty }
      guard let first = runs.first, let last = runs.last else { return 0..<0 }
      return first.lowerBound..<last.upperBound
    }
  }

  package var schedule: ExchangeSchedule {
    ExchangeSchedule(tree: ReductionTree(leaves: microbatches), runs: runs, fanIn: fanIn)
  }
}

/// What a step of a job takes, and of what that is made up.
package struct StepForecast: Codable, Sendable, Equatable {
  package let stepSeconds: Double
  package let imagesPerSecond: Double
  /// Images a second over those of one lane alone, for each lane.
  package let efficiency: Double
  /// Of a lane: operators, by themselves.
  package let computeSeconds: Double
  /// What the slowest rank takes longer.
  package let noiseSeconds: Double
  /// Of lane 0: sums within the node and of what arrives, updates.
  package let addSeconds: Double
  package let updateSeconds: Double
  /// Of lane 0, for all its messages.
  package let messageSeconds: Double
  /// How long a node's link carries something.
  package let linkSeconds: Double
  /// What the step waits for messages.
  package let waitSeconds: Double
  package let messagesPerRank: Int
  package let bytesPerNode: Double
  package let bucketCount: Int
  /// Of sums, and as many of values.
  package let rounds: Int

  enum CodingKeys: String, CodingKey {
    case efficiency, rounds
    case stepSeconds = "step_seconds"
    case imagesPerSecond = "images_per_second"
    case computeSeconds = "compute_seconds"
    case noiseSeconds = "noise_seconds"
    case addSeconds = "add_seconds"
    case updateSeconds = "update_seconds"
    case messageSeconds = "message_seconds"
    case linkSeconds = "link_seconds"
    case waitSeconds = "wait_seconds"
    case messagesPerRank = "messages_per_rank"
    case bytesPerNode = "bytes_per_node"
    case bucketCount = "bucket_count"
  }

  package init(_ job: ForecastJob) {
    self.init(job, costs: job.costs())
  }

  /// With costs that the job has been asked for already.
  package init(_ job: ForecastJob, costs: StepWalk.Costs) {
    stepSeconds = StepWalk.stepSeconds(costs)
    imagesPerSecond = Double(job.images) / stepSeconds
    let factor = job.noise ? job.parts.slowest(of: job.ranks) : 1
    let busy = (costs.forward + costs.backward).reduce(costs.other, +)
    computeSeconds = busy / factor
    noiseSeconds = busy - computeSeconds
    let hops = (costs.sums + costs.values).flatMap { $0 }
    addSeconds = costs.local.reduce(0, +) + hops.reduce(0) { $0 + $1.addSeconds }
    updateSeconds = costs.update.reduce(0, +)
    messagesPerRank = hops.reduce(0) { $0 + $1.messages }
    messageSeconds = 2 * hops.reduce(0) { $0 + costs.halfOfMessages($1) }
    bytesPerNode = hops.reduce(0) { $0 + $1.linkBytes }
    linkSeconds = bytesPerNode / costs.network.bytesPerSecond
    waitSeconds = max(0, stepSeconds - busy - addSeconds - updateSeconds - messageSeconds)
    bucketCount = costs.sums.count
    rounds = costs.sums.map(\.count).max() ?? 0
    let perLane = Double(job.microbatches) / Double(job.workers)
    let alone = job.parts.wave(microbatches: max(1, Int(perLane.rounded())))
    let lane =
      ((alone.forward + alone.backward).reduce(alone.other, +) + job.parts.updateSeconds) / job.speed
      * perLane / max(1, perLane.rounded())
    efficiency = lane / stepSeconds
  }
}

extension ForecastJob {
  /// What a step costs the rank that everyone waits for: of a sample of nodes, the one with most to send.
  package func costs() -> StepWalk.Costs {
    costs(schedule: schedule)
  }

  package func costs(schedule: ExchangeSchedule) -> StepWalk.Costs {
    let buckets = buckets
    let order = BucketSchedule(
      parts.parameterRanges, parameterExtent: parts.parameterExtent, buckets: buckets)
    let perLane = (microbatches + workers - 1) / workers
    let wave = parts.wave(microbatches: perLane)
    let factor = lanesPerCore / speed
    let slow = factor * (noise ? parts.slowest(of: ranks) : 1)
    var costs = StepWalk.Costs()
    costs.forward = wave.forward.map { $0 * slow }
    costs.backward = wave.backward.map { $0 * slow }
    costs.other = wave.other * slow
    costs.polls = perLane
    (costs.needed, costs.finalAfter, costs.tailCount) = (order.needed, order.finalAfter, buckets.tailCount)
    costs.network = network
    let partials = Double(ranksPerNode * min(lanes, microbatches))
    for range in buckets.ranges {
      let bytes = Double(range.count * MemoryLayout<Float>.stride)
      costs.local.append((partials - 1) / partials * bytes / parts.addBytesPerSecond * factor)
      // Values that a rank owns of a bucket, by all of its lanes.
      costs.update.append(
        parts.updateSeconds * Double(range.count) / Double(parts.extent) / Double(ranks * lanes) * factor)
    }
    let rounds = hops(schedule, buckets, factor)
    costs.sums = rounds.map(\.sums)
    costs.values = rounds.map(\.values)
    return costs
  }

  /// Of each bucket: what its rounds cost the node that has most of it.
  private func hops(_ schedule: ExchangeSchedule, _ buckets: Buckets, _ factor: Double)
    -> [(sums: [StepWalk.Hop], values: [StepWalk.Hop])]
  {
    let none = StepWalk.Hop(linkBytes: 0, messages: 0, addSeconds: 0)
    guard nodes > 1 else { return buckets.ranges.map { _ in ([], []) } }
    var sums = Array(repeating: Array(repeating: none, count: schedule.rounds), count: buckets.count)
    var values = sums
    let pieces = (0..<buckets.count).map { bucket in
      (0..<nodes).map { node in
        (0..<ranksPerNode).reduce(0) { $0 + buckets.piece(bucket, of: node * ranksPerNode + $1).count }
      }
    }
    for node in Self.sample(of: nodes) {
      let rounds = schedule.messages(of: node)
      for (number, round) in rounds.enumerated() {
        for bucket in 0..<buckets.count {
          func floats(_ messages: [ExchangeSchedule.Message], values: Bool) -> Int {
            messages.reduce(0) { sum, message in
              sum + message.owners.reduce(0) { $0 + pieces[bucket][$1] } * (values ? 1 : message.nodes.count)
            }
          }
          func count(_ messages: [ExchangeSchedule.Message]) -> Int {
            messages.count { $0.owners.contains { pieces[bucket][$0] > 0 } }
          }
          let (out, back) = (floats(round.sends, values: false), floats(round.receives, values: false))
          let messages = count(round.sends) + count(round.receives)
          // Ranks of a node share its link, and each adds up its part.
          let add = Double(4 * back) / Double(ranksPerNode) / parts.addBytesPerSecond * factor
          sums[bucket][number].raise(
            linkBytes: Double(4 * max(out, back)), ranks: ranksPerNode, messages: messages, addSeconds: add)
          let (newOut, newBack) = (floats(round.receives, values: true), floats(round.sends, values: true))
          values[bucket][schedule.rounds - 1 - number].raise(
            linkBytes: Double(4 * max(newOut, newBack)), ranks: ranksPerNode, messages: messages,
            addSeconds: 0)
        }
      }
    }
    return zip(sums, values).map { ($0, $1) }
  }

  /// All of a few nodes, some of many: the first, the last, and some between.
  private static func sample(of nodes: Int) -> [Int] {
    let most = 12
    return nodes <= most ? Array(0..<nodes) : (0..<most).map { $0 * (nodes - 1) / (most - 1) }
  }
}

extension StepWalk.Hop {
  fileprivate mutating func raise(linkBytes: Double, ranks: Int, messages: Int, addSeconds: Double) {
    self.linkBytes = max(self.linkBytes, linkBytes)
    laneBytes = self.linkBytes / Double(ranks)
    self.messages = max(self.messages, messages)
    self.addSeconds = max(self.addSeconds, addSeconds)
  }
}
