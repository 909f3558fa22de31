import Collectives
import Testing
import Training

@Suite struct ForecastTests {
  private func parts(nodes: Int = 6, floats: Int = 512 * 1024) -> StepParts {
    StepParts(
      model: "test", size: 8, microbatch: 4, isa: "ref", cpu: "none",
      parameterRanges: (0..<nodes).map { (floats * $0 / nodes)..<(floats * ($0 + 1) / nodes) },
      parameterExtent: floats, extent: floats + 8192,
      waves: [
        StepParts.Wave(
          microbatches: 1, forward: Array(repeating: 0.01, count: nodes),
          backward: Array(repeating: 0.02, count: nodes), other: 0.003),
        StepParts.Wave(
          microbatches: 3, forward: Array(repeating: 0.02, count: nodes),
          backward: Array(repeating: 0.05, count: nodes), other: 0.005),
      ],
      updateSeconds: 0.012, addBytesPerSecond: 1e10, noise: [1])
  }

  private func job(nodes: Int, bandwidth: Double, latency: Double = 0, message: Double = 0) -> ForecastJob {
    var job = ForecastJob(
      parts: parts(), nodes: nodes, ranksPerNode: 1, lanes: 1, microbatches: nodes,
      network: NetworkFigures(bytesPerSecond: bandwidth, latencySeconds: latency, messageSeconds: message))
    // Whole chunks for each of up to eight ranks, so that all have as much to send as to get.
    job.bucketBytes = 32 * 1024 * 4
    return job
  }

  @Test func wavesLieOnALine() {
    let parts = parts()
    #expect(parts.wave(microbatches: 1) == parts.waves[0] && parts.wave(microbatches: 3) == parts.waves[1])
    let middle = parts.wave(microbatches: 2)
    #expect(abs(middle.forward[0] - 0.015) < 1e-12 && abs(middle.backward[5] - 0.035) < 1e-12)
    #expect(abs(parts.wave(microbatches: 5).forward[1] - 0.03) < 1e-12)
    var alone = parts
    alone.waves.removeLast()
    #expect(abs(alone.wave(microbatches: 4).backward[2] - 0.08) < 1e-12)
  }

  @Test func theSlowestOfSeveralIsTheMeanOfAllDraws() {
    var parts = parts()
    parts.noise = [0.9, 1.0, 1.3]
    // All nine draws of two.
    let pairs = parts.noise.flatMap { a in parts.noise.map { max(a, $0) } }
    let mean = parts.noise.reduce(0, +) / 3
    #expect(abs(parts.slowest(of: 2) - pairs.reduce(0, +) / 9 / mean) < 1e-12)
    #expect(abs(parts.slowest(of: 1) - 1) < 1e-12)
    #expect(abs(parts.slowest(of: 4096) - 1.3 / mean) < 1e-9)
  }

  @Test func aloneAStepIsItsParts() {
    let forecast = StepForecast(job(nodes: 1, bandwidth: 1))
    #expect(abs(forecast.stepSeconds - (0.06 + 0.12 + 0.003 + 0.012)) < 1e-9)
    #expect(abs(forecast.efficiency - 1) < 1e-9 && forecast.messagesPerRank == 0)
  }

  @Test func withoutAnythingToComputeTheLinkDecides() {
    // One bucket, one round: sums there, values back.
    var costs = StepWalk.Costs()
    costs.tailCount = 1
    costs.local = [0]
    costs.sums = [[StepWalk.Hop(linkBytes: 500, messages: 2, addSeconds: 0.25)]]
    costs.update = [0.5]
    costs.values = [[StepWalk.Hop(linkBytes: 300, messages: 2, addSeconds: 0)]]
    costs.network = NetworkFigures(bytesPerSecond: 100, latencySeconds: 2, messageSeconds: 0.125)
    // Four messages are sent or taken, one after another.
    #expect(abs(StepWalk.stepSeconds(costs) - (5 + 2 + 0.25 + 0.5 + 3 + 2 + 4 * 0.125)) < 1e-9)
  }

  @Test func bandwidthBoundStepsTakeAsLongAsTheirBytes() {
    let forecast = StepForecast(job(nodes: 8, bandwidth: 2e5))
    #expect(abs(forecast.linkSeconds / forecast.stepSeconds - 1) < 0.05)
    let bytes = Double(parts().extent * 4) * 7 / 8
    #expect(abs(forecast.bytesPerNode / (2 * bytes) - 1) < 0.05)
  }

  @Test func quickMessagesHideBehindComputing() {
    let slow = StepForecast(job(nodes: 8, bandwidth: 1e8))
    let alone = StepForecast(job(nodes: 1, bandwidth: 1))
    #expect(slow.linkSeconds > 0.02)
    // Only the front's sums and values lie between two steps.
    #expect(slow.stepSeconds - alone.stepSeconds < 0.35 * slow.linkSeconds)
  }

  /// The same job as ranks that each have a clock, and messages that each have a length, in small ticks of time.
  @Test(arguments: [(2, 0), (4, 0), (4, 2), (8, 2)], [3e6, 3e7, 3e8])
  func theWalkIsWhatAllRanksDo(_ shape: (nodes: Int, fanIn: Int), _ bandwidth: Double) {
    var job = job(nodes: shape.nodes, bandwidth: bandwidth, latency: 0.002)
    job.fanIn = shape.fanIn
    let costs = job.costs()
    var walk = StepWalk(costs)
    for _ in 0..<3 { walk.step() }
    walk.settle()
    let simulated = TickSimulation(job, costs, tick: 1e-4).run(steps: 3)
    #expect(abs(walk.now / simulated - 1) < 0.03, "walk \(walk.now), \(shape.nodes) clocks \(simulated)")
  }

  @Test func aNetworkIsFoundAgain() throws {
    let network = NetworkFigures(bytesPerSecond: 1e8, latencySeconds: 3e-4, messageSeconds: 1e-6)
    let measured = [4096, 1 << 20, 1 << 24, 1 << 26].map { bytes -> NetworkFigures.Measured in
      var costs = StepWalk.Costs()
      let hop = StepWalk.Hop(linkBytes: Double(bytes) / 2, messages: 2, addSeconds: 0)
      (costs.tailCount, costs.local, costs.update) = (1, [0], [0])
      (costs.sums, costs.values, costs.network) = ([[hop]], [[hop]], network)
      return NetworkFigures.Measured(
        bytes: bytes, seconds: StepWalk.stepSeconds(costs), bytesSent: Double(bytes))
    }
    let found = try #require(NetworkFigures(measured, messageSeconds: 1e-6))
    #expect(abs(found.bytesPerSecond / 1e8 - 1) < 0.01)
    #expect(abs(found.latencySeconds / 3e-4 - 1) < 0.1)
    #expect(NetworkFigures(Array(measured.prefix(2)), messageSeconds: 1e-6) == nil)
    #expect(
      NetworkFigures(
        measured.map { NetworkFigures.Measured(bytes: $0.bytes, seconds: 1, bytesSent: 0) }, messageSeconds: 0
      ) == nil)
  }

  @Test func adviceNamesWhatIsInTheWay() {
    let narrow = ForecastAdvice(job(nodes: 8, bandwidth: 2e6))
    #expect(narrow.limits.first?.what.contains("bandwidth") == true)
    let far = ForecastAdvice(job(nodes: 8, bandwidth: 1e12, latency: 1))
    #expect(far.limits.first?.what.contains("latency") == true)
    let chatty = ForecastAdvice(job(nodes: 64, bandwidth: 1e12, message: 1e-2))
    #expect(chatty.limits.first?.what.contains("number") == true)
    #expect(chatty.levers.contains { $0.setting.contains("fan_in") && $0.efficiency > chatty.efficiency })
    #expect(ForecastAdvice(job(nodes: 2, bandwidth: 1e15)).limits.isEmpty)
    var copying = job(nodes: 8, bandwidth: 1e12)
    copying.network.secondsPerByte = 1e-6
    #expect(ForecastAdvice(copying).limits.first?.what.contains("sockets") == true)
  }

  /// Every message of the trace is sent once and received once, as long as the forecast's.
  @Test(arguments: [(4, 1, 0), (4, 2, 2), (6, 1, 2), (8, 2, 4)])
  func traceMessagesHaveTwoEnds(_ shape: (nodes: Int, ranks: Int, fanIn: Int)) {
    var job = job(nodes: shape.nodes, bandwidth: 1e8, latency: 1e-4)
    (job.ranksPerNode, job.fanIn, job.microbatches) = (shape.ranks, shape.fanIn, shape.nodes * shape.ranks)
    let trace = SimGridTrace(job, steps: 2)
    var (sent, received, waited) = (Set<[Int]>(), Set<[Int]>(), 0)
    for rank in 0..<job.ranks {
      var computed = 0.0
      for line in trace.actions(of: rank).split(separator: "\n") {
        let words = line.split(separator: " ").map(String.init)
        #expect(words[0] == "\(rank)")
        let numbers = words.dropFirst(2).compactMap { Int($0) }
        switch words[1] {
        case "isend": #expect(sent.insert([rank] + numbers).inserted)
        case "irecv": #expect(received.insert([numbers[0], rank] + numbers.dropFirst()).inserted)
        case "wait": waited += 1
        case "compute": computed += Double(words[2]) ?? 0
        default: #expect(["init", "finalize", "waitall"].contains(words[1]))
        }
      }
      #expect(computed * 1e-9 <= trace.walkSeconds && computed * 1e-9 > 2 * 0.18)
    }
    #expect(!sent.isEmpty && sent == received && waited == received.count)
    let bytes = sent.reduce(0) { $0 + $1[3] }
    let expected = 2 * 2 * (shape.nodes - 1) * job.parts.extent * 4
    #expect(bytes == expected || shape.nodes == 6 && bytes > expected)
  }

  @Test func whatSimGridSaysIsFound() {
    let said = "noise\n[n0:0:(1) 5.016000] [smpi_replay/INFO] Simulation time 5.016000\n[5.0] more"
    #expect(SimGridTrace.seconds(in: said) == 5.016)
    #expect(SimGridTrace.seconds(in: "nothing") == nil)
  }
}

/// All ranks of a job, one a node, with clocks, link queues and messages of their own, in ticks: slow, and made
/// without the closed form's shortcuts.
private struct TickSimulation {
  let job: ForecastJob
  let costs: StepWalk.Costs
  let tick: Double

  init(_ job: ForecastJob, _ costs: StepWalk.Costs, tick: Double) {
    (self.job, self.costs, self.tick) = (job, costs, tick)
  }

  private struct Packet {
    let to: Int
    let bucket: Int
    let round: Int
    let values: Bool
    var bytes: Double
    var arrives = Double.infinity
  }

  private final class Rank {
    /// Work left before the next look for messages.
    var busy = 0.0
    var program: [Task] = []
    var queue: [Packet] = []
    /// By bucket: 0 open, 1 final, 2 sums on their way, 3 updated, 4 values on their way, 5 settled.
    var state: [Int] = []
    var round: [Int] = []
    /// Messages that have come, by bucket, kind and round.
    var come: [[Int]: Int] = [:]
  }

  private enum Task {
    case need(Range<Int>)
    case work(Double)
    case all
    case begin
    case final(Int)
    case tail
  }

  func run(steps: Int) -> Double {
    let count = costs.sums.count
    let rounds = (0..<job.nodes).map(job.schedule.messages(of:))
    let pieces = (0..<count).map { bucket in (0..<job.nodes).map { job.buckets.piece(bucket, of: $0).count } }
    let total = rounds[0].count
    func messages(_ rank: Int, _ bucket: Int, _ round: Int, values: Bool, receives: Bool) -> [(
      peer: Int, bytes: Double
    )] {
      let way = rounds[rank][values ? total - 1 - round : round]
      return (values != receives ? way.receives : way.sends).compactMap { message in
        let floats = message.owners.reduce(0) { $0 + pieces[bucket][$1] } * (values ? 1 : message.nodes.count)
        return floats > 0 ? (message.peer, Double(4 * floats)) : nil
      }
    }
    let ranks = (0..<job.nodes).map { _ in Rank() }
    for rank in ranks {
      (rank.state, rank.round) = (Array(repeating: 5, count: count), Array(repeating: 0, count: count))
      for _ in 0..<steps {
        for node in costs.forward.indices {
          rank.program += [.need(costs.needed[node]), .work(costs.forward[node])]
        }
        rank.program += [.work(costs.other), .all, .begin]
        for node in costs.backward.indices.reversed() {
          rank.program += [.work(costs.backward[node]), .final(costs.finalAfter[node])]
        }
        rank.program += [.final(count), .tail]
      }
      rank.program.append(.all)
    }
    var now = 0.0
    while ranks.contains(where: { !$0.program.isEmpty }) {
      now += tick
      for (number, rank) in ranks.enumerated() {
        // The link carries the first message of the queue.
        var room = costs.network.bytesPerSecond * tick
        while room > 0, let place = rank.queue.firstIndex(where: { $0.arrives == .infinity }) {
          let part = min(room, rank.queue[place].bytes)
          rank.queue[place].bytes -= part
          room -= part
          if rank.queue[place].bytes <= 1e-9 {
            rank.queue[place].arrives = now + costs.network.latencySeconds
          }
        }
        for packet in rank.queue where packet.arrives <= now {
          ranks[packet.to].come[[packet.bucket, packet.values ? 1 : 0, packet.round], default: 0] += 1
        }
        rank.queue.removeAll { $0.arrives <= now }
        rank.busy -= tick
        while rank.busy <= 0, !rank.program.isEmpty {
          if act(rank, number, messages) { continue }
          guard advance(rank) else { break }
        }
        rank.busy = max(rank.busy, 0)
      }
    }
    return now
  }

  /// What comes of messages and finished buckets; whether there was anything.
  private func act(
    _ rank: Rank, _ number: Int, _ messages: (Int, Int, Int, Bool, Bool) -> [(peer: Int, bytes: Double)]
  ) -> Bool {
    func send(_ bucket: Int, _ round: Int, values: Bool) {
      (rank.state[bucket], rank.round[bucket]) = (values ? 4 : 2, round)
      for message in messages(number, bucket, round, values, false) {
        rank.queue.append(
          Packet(to: message.peer, bucket: bucket, round: round, values: values, bytes: message.bytes))
      }
    }
    for bucket in rank.state.indices {
      let (state, round) = (rank.state[bucket], rank.round[bucket])
      if state == 1 {
        rank.busy += costs.local[bucket]
        send(bucket, 0, values: false)
        return true
      }
      guard state == 2 || state == 4 else { continue }
      let key = [bucket, state == 4 ? 1 : 0, round]
      let wanted = messages(number, bucket, round, state == 4, true).count
      guard rank.come[key, default: 0] >= wanted else { continue }
      rank.come[key] = nil
      let hops = (state == 4 ? costs.values : costs.sums)[bucket]
      rank.busy += hops[round].addSeconds
      if round + 1 < hops.count {
        send(bucket, round + 1, values: state == 4)
      } else if state == 2 {
        rank.busy += costs.update[bucket]
        rank.state[bucket] = 3
      } else {
        rank.state[bucket] = 5
      }
      return true
    }
    let waiting = rank.queue.filter { $0.arrives == .infinity }
    if let tail = (0..<costs.tailCount).first(where: { rank.state[$0] == 3 }) {
      send(tail, 0, values: true)
      return true
    }
    guard !waiting.contains(where: { !$0.values }), Set(waiting.map(\.bucket)).count < 2,
      let next = rank.state.lastIndex(of: 3)
    else { return false }
    send(next, 0, values: true)
    return true
  }

  /// Goes on in the program; false where it has to wait.
  private func advance(_ rank: Rank) -> Bool {
    switch rank.program[0] {
    case .need(let buckets): guard buckets.allSatisfy({ rank.state[$0] == 5 }) else { return false }
    case .work(let seconds): rank.busy += seconds
    case .all: guard rank.state.allSatisfy({ $0 == 5 }) else { return false }
    case .begin:
      for bucket in rank.state.indices { rank.state[bucket] = bucket < costs.tailCount ? 1 : 0 }
    case .final(let count): for bucket in 0..<count where rank.state[bucket] == 0 { rank.state[bucket] = 1 }
    case .tail: guard rank.state.prefix(costs.tailCount).allSatisfy({ $0 == 5 }) else { return false }
    }
    rank.program.removeFirst()
    return true
  }
}
