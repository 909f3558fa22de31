import Collectives
import Models
import Tensors

/// The network of a run as its epochs train it: what is unfrozen between two epochs lies otherwise in the flat
/// buffers and needs gradients and optimizer state, so the steps after that are another object. Weights, averages
/// and the state of what was trained before go over, array by array.
package final class TrainingStages {
  package struct Stage {
    package let network: Network
    package let step: TrainingStep
    package let evaluator: Evaluator
  }

  /// Makes the stage of a network, fused and with frozen layers, from its first values.
  typealias Make = (Network, FloatBuffer, Timeline?) throws -> Stage

  package let plan: FreezingPlan
  private let whole: Network
  private let batchNorm: FrozenBatchNorm
  private let communicator: Communicator
  private let make: Make
  private var frozen: Set<String>
  private var stage: Stage?

  /// - Parameters:
  ///   - whole: the network as it is described.
  ///   - initial: its first values.
  init(
    _ whole: Network, plan: FreezingPlan, batchNorm: FrozenBatchNorm, initial: FloatBuffer,
    communicator: Communicator, make: @escaping Make
  ) throws {
    (self.whole, self.plan, self.batchNorm) = (whole, plan, batchNorm)
    (self.communicator, self.make) = (communicator, make)
    frozen = plan.stage(ofEpoch: 0).frozen
    let network = Self.network(whole, frozen, batchNorm)
    stage = try make(network, initial.relaid(from: whole.layout, to: network.layout), nil)
  }

  private static func network(_ whole: Network, _ frozen: Set<String>, _ batchNorm: FrozenBatchNorm)
    -> Network
  {
    frozen.isEmpty ? whole.fused() : whole.freezing(frozen, batchNorm: batchNorm).fused()
  }

  package var current: Stage {
    guard let stage else { preconditionFailure("a stage that is being changed is used by nobody") }
    return stage
  }

  /// Trains what the epoch trains. Whether that is another stage. Collective, between two steps.
  package func enter(epoch: Int) throws -> Bool {
    let next = plan.stage(ofEpoch: epoch).frozen
    guard next != frozen else { return false }
    let old = try Carried(current, communicator)
    let timeline = current.step.timeline
    // The memory of the old stage is free before the new one takes its own.
    stage = nil
    let network = Self.network(whole, next, batchNorm)
    let new = try make(network, old.values.relaid(from: old.layout, to: network.layout), timeline)
    if let averages = old.averages {
      try new.step.replaceEvaluated(with: averages.relaid(from: old.layout, to: network.layout))
    }
    new.step.optimizer.load(
      state: old.states.map { $0.relaid(from: old.layout, to: network.layout, parametersOnly: true).values })
    frozen = next
    stage = new
    return true
  }

  /// What goes over from one stage to the next, whole on every rank.
  private struct Carried {
    let layout: FlatLayout
    let values: FloatBuffer
    let averages: FloatBuffer?
    let states: [FloatBuffer]

    init(_ stage: Stage, _ communicator: Communicator) throws {
      let step = stage.step
      layout = stage.network.layout
      try step.settle()
      values = FloatBuffer(Array(step.values.values.prefix(layout.extent)))
      averages = step.update.averages.map {
        FloatBuffer(Array($0.values.prefix(stage.network.layout.extent)))
      }
      states = try step.optimizer.stateOfSlices.map { slices in
        let whole = FloatBuffer(count: step.values.count)
        var first = 0
        for slice in step.optimizer.slices {
          (whole.pointer + slice.lowerBound).update(
            from: Array(slices[first..<(first + slice.count)]), count: slice.count)
          first += slice.count
        }
        try step.reducer.gather(whole)
        return whole
      }
      // Ranks that share the values read them before anybody lets them go.
      try communicator.barrier()
    }
  }
}

extension FloatBuffer {
  /// The arrays of a flat buffer where another layout of the same arrays has them; those that `old` has no place
  /// for among its parameters are 0 where only parameters are meant.
  func relaid(from old: FlatLayout, to new: FlatLayout, parametersOnly: Bool = false) -> FloatBuffer {
    let relaid = FloatBuffer(count: new.extent)
    let places = Dictionary(
      uniqueKeysWithValues: (parametersOnly ? old.parameters : old.entries).map { ($0.name, $0) })
    for entry in parametersOnly ? new.parameters : new.entries {
      guard let from = places[entry.name] else { continue }
      if from.storage == entry.storage {
        (relaid.pointer + entry.offset).update(from: pointer + from.offset, count: entry.range.count)
      } else {
        entry.fill(relaid.pointer, with: from.array(in: pointer))
      }
    }
    return relaid
  }
}
