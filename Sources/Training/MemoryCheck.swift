import Collectives
import Layers
import Models
import Tensors

/// Compares what the ranks of a node are about to allocate with the memory that they may have.
struct MemoryCheck {
  private let communicator: Communicator
  /// By rank.
  private let limits: [[MemoryLimit]]

  /// - Parameter limits: those of this rank. Collective.
  init(_ communicator: Communicator, limits: [MemoryLimit]) throws {
    self.communicator = communicator
    self.limits = try communicator.exchange(limits)
  }

  /// What this rank and those that share a limit with it need together, where that is more than they may have.
  struct Shortage {
    let needed: Int
    let available: Int
    let ranks: Int
    let group: String?

    var description: String {
      let who = ranks > 1 ? "\(ranks) ranks of a node need" : "this needs"
      let limit = group.map { "the control group \($0.isEmpty ? "/" : $0) leaves" } ?? "the node has"
      return "\(who) \(Self.gigabytes(needed)) of memory, \(limit) \(Self.gigabytes(available))"
    }

    static func gigabytes(_ bytes: Int) -> String { "\((Double(bytes) / 1e8).rounded() / 10) GB" }
  }

  /// - Parameter bytes: what a rank, by number, will allocate.
  func shortage(_ bytes: (Int) -> Int) -> Shortage? {
    let node = communicator.places.indices.filter { communicator.places[$0].node == communicator.place.node }
    for limit in limits[communicator.rank] {
      let shared = node.map { rank in (rank, limits[rank].first { $0.group == limit.group }) }
      let sharers = shared.filter { $0.1 != nil }
      let shortage = Shortage(
        needed: sharers.reduce(0) { $0 + bytes($1.0) },
        available: sharers.compactMap { $0.1?.bytes }.min() ?? limit.bytes, ranks: sharers.count,
        group: limit.group)
      if shortage.needed > shortage.available { return shortage }
    }
    return nil
  }

  /// The largest number from 1 to `most` with which there is no shortage; nil where there is none. More isn't
  /// always more memory: smaller waves need more sums.
  func largest(upTo most: Int, _ bytes: (_ number: Int, _ rank: Int) -> Int) -> Int? {
    (1...most).reversed().first { number in shortage { bytes(number, $0) } == nil }
  }
}

/// More memory than there is.
package struct MemoryError: Error, Equatable, CustomStringConvertible {
  package let description: String

  init(_ shortage: MemoryCheck.Shortage, advice: String) {
    description = "\(shortage.description); \(advice)"
  }
}

extension TrainingStep.Settings {
  /// The same for another microbatch and wave, with as many images in a step.
  private func with(microbatch: Int, wave: Int) -> TrainingStep.Settings {
    var settings = self
    let images = (microbatchCounts.max() ?? 1) * self.microbatch
    settings.microbatchCounts = [(images + microbatch - 1) / microbatch]
    (settings.microbatch, settings.wave) = (microbatch, wave)
    return settings
  }

  /// What a lane of a rank must have room for, over all numbers of microbatches that occur.
  func needs(ofRank rank: Int) -> (wave: Int, partials: Int, stack: Int) {
    let layout = JobLayout(rank: rank, lanes: layout.lanes, order: layout.order)
    let needs = microbatchCounts.map { StepDivision.needs(microbatches: $0, layout: layout, wave: wave) }
    return (
      needs.map(\.wave).max() ?? 0, needs.map(\.partials).max() ?? 0, needs.map(\.stack).max() ?? 0
    )
  }

  /// The plan of a rank's lanes; nil where they have no microbatch.
  func plan(_ network: Network, wave: Int) -> Plan? {
    wave == 0
      ? nil
      : Plan(
        network, images: wave * microbatch, microbatches: wave, mode: .training, checkpointing: checkpointing,
        kernels: kernels)
  }

  /// Bytes of a network that teaches.
  func teacherBytes(ofRank rank: Int) -> Int {
    let lanes = needs(ofRank: rank).wave == 0 ? 0 : layout.lanes[rank]
    return (teacher?.count(images: microbatch, lanes: lanes) ?? 0) * MemoryLayout<Float>.stride
  }

  /// Bytes that a rank's steps will take, but for little that hangs on messages.
  private func bytes(_ network: Network, rank: Int, places: [Communicator.Place]) -> Int {
    let float = MemoryLayout<Float>.stride
    let needs = needs(ofRank: rank)
    let plan = plan(network, wave: needs.wave)
    let flat = GradientSlots.extent(of: network.layout)
    let lane =
      (plan.map { $0.arenaCount + $0.scratchCount } ?? 0) + needs.partials * flat
      + needs.stack * (network.nodes.map(\.parameterRange.count).max() ?? 0)
    let values = network.layout.valuesExtent
    let states = Optimizer.stateNames(of: optimizer).count * flat / places.count
    let prepared = PreparedWeights.count(for: network, mode: .training, kernels: kernels)
    return teacherBytes(ofRank: rank)
      + float
      * (layout.lanes[rank] * lane + values / (reduce.sharedMemory ? places[rank].localSize : 1) + states
        + prepared
        + (averageDecay > 0 ? values : 0))
  }

  /// Throws on all ranks where a node has less memory than its ranks need, with what would fit. Collective.
  func requireMemory(for network: Network, _ communicator: Communicator) throws {
    let check = try MemoryCheck(communicator, limits: memoryLimits)
    func bytes(_ settings: TrainingStep.Settings, _ rank: Int) -> Int {
      settings.bytes(network, rank: rank, places: communicator.places)
    }
    try communicator.together {
      guard let shortage = check.shortage({ bytes(self, $0) }) else { return }
      throw MemoryError(shortage, advice: advice(network, check, bytes))
    }
  }

  private func advice(
    _ network: Network, _ check: MemoryCheck, _ bytes: (TrainingStep.Settings, Int) -> Int
  ) -> String {
    var keeping: String?
    if checkpointing == .none {
      var other = self
      other.checkpointing = .blocks
      if check.shortage({ bytes(other, $0) }) == nil { keeping = "training.activation_checkpointing: blocks" }
    }
    var fitting: String?
    if !network.poolsStatistics {
      let most = microbatchCounts.max() ?? 1
      if let wave = check.largest(upTo: most, { bytes(with(microbatch: microbatch, wave: $0), $1) }) {
        fitting = "microbatch \(microbatch) with wave \(wave)"
      } else if let small = check.largest(upTo: microbatch, { bytes(with(microbatch: $0, wave: 1), $1) }) {
        fitting = "microbatch \(small) with wave 1"
      }
    }
    switch (fitting, keeping) {
    case (let fitting?, let keeping?): return "the largest that fit are \(fitting); so would \(keeping)"
    case (let fitting?, nil): return "the largest that fit are \(fitting)"
    case (nil, let keeping?): return "\(keeping) would fit"
    case (nil, nil): return "not even a microbatch of 1 fits"
    }
  }
}

extension Inference {
  /// Throws on all ranks where a node has less memory than its ranks need for their lanes, with the microbatch that
  /// would fit. Collective.
  static func requireMemory(
    for network: Network, images: Int, lanes: [Int], limits: [MemoryLimit] = MemoryLimit.current(),
    _ communicator: Communicator, kernels: InstructionSet
  ) throws {
    let check = try MemoryCheck(communicator, limits: limits)
    let weights =
      network.layout.extent + PreparedWeights.count(for: network, mode: .inference, kernels: kernels)
    func bytes(_ images: Int, _ rank: Int) -> Int {
      let plan = Plan(network, images: images, mode: .inference, kernels: kernels)
      return MemoryLayout<Float>.stride * (weights + lanes[rank] * (plan.arenaCount + plan.scratchCount))
    }
    try communicator.together {
      guard let shortage = check.shortage({ bytes(images, $0) }) else { return }
      let fitting = check.largest(upTo: images, bytes)
      throw MemoryError(
        shortage,
        advice: fitting.map { "the largest microbatch that fits is \($0)" } ?? "not even a single image fits")
    }
  }
}
