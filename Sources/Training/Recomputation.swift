import Collectives
import Foundation
import Layers
import Models
import Tensors

/// Which microbatch of a step is computed twice, and by whom.
struct RecomputePlan: Equatable, Sendable {
  let microbatch: Int
  /// Who owns it, and who computes it again.
  let owner: Place
  let checker: Place

  struct Place: Equatable, Sendable {
    let rank: Int
    let lane: Int
  }

  /// Chosen by the seed, the same on all ranks. Another rank checks, if one has work; else another lane; a
  /// lone lane checks itself.
  init(_ division: WorkDivision, seed: UInt64, step: Int) {
    let random = RandomStream(seed: seed, purpose: .recheck, position: step)
    let microbatch = random.integer(at: 0, below: division.tree.leaves)
    var places: [Place] = []
    var owner = Place(rank: 0, lane: 0)
    for (rank, runs) in division.laneRuns.enumerated() {
      for (lane, run) in runs.enumerated() where !run.isEmpty {
        places.append(Place(rank: rank, lane: lane))
        if run.contains(microbatch) { owner = Place(rank: rank, lane: lane) }
      }
    }
    self.microbatch = microbatch
    self.owner = owner
    var others = places.filter { $0.rank != owner.rank }
    if others.isEmpty { others = places.filter { $0 != owner } }
    checker = others.isEmpty ? owner : others[random.integer(at: 1, below: others.count)]
  }
}

/// A microbatch of a step that is computed twice: by the checker before the step, with the memory that its lane
/// will use in it, and by its owner in the step. Then their gradients' hashes are compared. Where microbatches
/// depend on each other (batch statistics over the global batch), both compute it by itself before the step.
struct Recomputation: Sendable {
  let plan: RecomputePlan
  /// On the rank that owns the microbatch, and on the one that computes it again.
  private let owner: GradientWitness?
  private let checker: GradientWitness?
  private let isInStep: Bool

  /// Hands the microbatch to the rank that checks it. Collective.
  ///
  /// - Parameters:
  ///   - own: the microbatch, on the rank that owns it.
  ///   - inStep: whether the owner computes it in the step, seen by a `witness`.
  ///   - compute: computes a microbatch by itself on a lane of this rank.
  init(
    _ plan: RecomputePlan, own: LoadedMicrobatch?, inStep: Bool, network: Network,
    communicator: Communicator, fault: GradientWitness.Fault?,
    compute: (LoadedMicrobatch, GradientWitness, _ lane: Int) -> Void
  ) throws {
    self.plan = plan
    let (owns, checks) = (plan.owner.rank == communicator.rank, plan.checker.rank == communicator.rank)
    var checker: GradientWitness?
    if checks {
      let witness = GradientWitness(microbatch: plan.microbatch, network: network)
      let microbatch = try own ?? MicrobatchMessage.receive(from: plan.owner.rank, communicator)
      compute(microbatch, witness, plan.checker.lane)
      checker = witness
    } else if let own {
      try MicrobatchMessage.send(own, to: plan.checker.rank, communicator)
    }
    self.checker = checker
    let owner =
      owns ? GradientWitness(microbatch: plan.microbatch, network: network, fault: fault) : nil
    if !inStep, let own, let owner { compute(own, owner, plan.owner.lane) }
    (self.owner, isInStep) = (owner, inStep)
  }

  /// Who watches the microbatch in the step, in a lane of this rank that owns it.
  func witness(ofLane lane: Int) -> GradientWitness? {
    isInStep && lane == plan.owner.lane ? owner : nil
  }

  /// Compares what owner and checker saw; all ranks throw where it differs. Collective, after the step.
  func compare(step: Int, communicator: Communicator) throws {
    var owners = owner?.hashes
    if let owners, checker == nil {
      try communicator.send(Array(try JSONEncoder().encode(owners)), to: plan.checker.rank)
    } else if owners == nil, checker != nil {
      let bytes = Foundation.Data(try communicator.receive(from: plan.owner.rank))
      owners = try JSONDecoder().decode([[UInt64]].self, from: bytes)
    }
    try communicator.together {
      guard let owners, let array = checker?.firstDifference(from: owners) else { return }
      throw ComputationFault(
        step: step, microbatch: plan.microbatch, owner: name(plan.owner), checker: name(plan.checker),
        array: array)
    }
  }

  private func name(_ place: RecomputePlan.Place) -> String {
    plan.owner.rank == plan.checker.rank
      ? "lane \(place.lane) of rank \(place.rank)" : "rank \(place.rank)"
  }
}

/// A microbatch that gave other gradients when it was computed again.
package struct ComputationFault: Error, Equatable, CustomStringConvertible {
  package let step: Int
  package let microbatch: Int
  package let owner: String
  package let checker: String
  package let array: String

  package var description: String {
    "step \(step): microbatch \(microbatch) has other gradients on \(owner), which owns it, than on \(checker), "
      + "which computed it again: first, on the way back, \(array). A fault of the hardware of one of the two? "
      + "No checkpoint holds it; --resume goes on from the last"
  }
}

/// A microbatch on its way to the rank that computes it again: this, and then the pixels.
private struct MicrobatchMessage: Codable {
  let labels: [Int32]
  let seed: UInt64
  let epoch: Int
  let firstPosition: Int

  static func send(_ microbatch: LoadedMicrobatch, to rank: Int, _ communicator: Communicator) throws {
    let place = microbatch.place
    let message = MicrobatchMessage(
      labels: microbatch.labels, seed: place.seed, epoch: place.epoch, firstPosition: place.firstPosition)
    try communicator.send(Array(try JSONEncoder().encode(message)), to: rank)
    let pixels = UnsafeBufferPointer(start: microbatch.pixels.pointer, count: microbatch.pixels.count)
    try communicator.send(Array(UnsafeRawBufferPointer(pixels)), to: rank)
  }

  static func receive(from rank: Int, _ communicator: Communicator) throws -> LoadedMicrobatch {
    let bytes = Foundation.Data(try communicator.receive(from: rank))
    let message = try JSONDecoder().decode(MicrobatchMessage.self, from: bytes)
    let pixels = try communicator.receive(from: rank)
    return LoadedMicrobatch(
      pixels: FloatBuffer(pixels.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }),
      labels: message.labels,
      place: BatchPlace(seed: message.seed, epoch: message.epoch, firstPosition: message.firstPosition))
  }
}
