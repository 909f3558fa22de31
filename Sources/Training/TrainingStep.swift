import CKernels
import Collectives
import Layers
import Models
import Tensors

/// What one optimizer step works on: this rank's microbatches, and what is known of the whole step.
package struct StepBatch: Sendable {
  package var epoch: Int
  /// Optimizer steps before this one, from the beginning of the run.
  package var step: Int
  /// Microbatches and images of all ranks.
  package var microbatches: Int
  package var images: Int
  /// Σ of the labels' weights over all images of the step.
  package var denominator: Float
  /// This rank's own, in order.
  package var local: [LoadedMicrobatch]

  package init(
    epoch: Int, step: Int, microbatches: Int, images: Int, denominator: Float, local: [LoadedMicrobatch]
  ) {
    self.epoch = epoch
    self.step = step
    self.microbatches = microbatches
    self.images = images
    self.denominator = denominator
    self.local = local
  }
}

/// Over the images of a step, before its update.
package struct StepResult: Sendable {
  package var meanLoss: Double
  package var correct: Int
}

/// The loss of a step was not a finite number.
package struct NotFiniteError: Error, CustomStringConvertible {
  /// Counted from 0, as the learning rate's schedule counts.
  package let step: Int
  /// nil where every microbatch has a finite loss, but their sum has not.
  package let microbatch: Int?
  package let layer: String?

  package var description: String {
    let whose = microbatch.map { "the loss of microbatch \($0)" } ?? "the loss"
    let place = layer.map { "; the first layer whose output is not finite is \($0)" } ?? ""
    return "step \(step): \(whose) is not a finite number\(place)"
  }
}

/// A rank's part in one optimizer step, the same for random images and for real ones: lanes compute,
/// sums go up the tree, this rank updates its slice of the values, and everyone gets the new values.
package final class TrainingStep: @unchecked Sendable {
  package struct Settings: Sendable {
    package var layout: JobLayout
    /// The numbers of microbatches that a step may have: of a full batch, and of a short last one.
    package var microbatchCounts: [Int]
    /// The most images of a microbatch.
    package var microbatch: Int
    /// Microbatches in flight in a lane; 0 for all of its step.
    package var wave: Int
    package var loss: SoftmaxCrossEntropy
    package var optimizer: OptimizerConfig
    package var kernels: InstructionSet
    /// Whether lanes measure what their operators take.
    package var timesOperators: Bool

    package init(
      layout: JobLayout, microbatchCounts: [Int], microbatch: Int, wave: Int, loss: SoftmaxCrossEntropy,
      optimizer: OptimizerConfig, kernels: InstructionSet, timesOperators: Bool = false
    ) {
      self.layout = layout
      self.microbatchCounts = microbatchCounts
      self.microbatch = microbatch
      self.wave = wave
      self.loss = loss
      self.optimizer = optimizer
      self.kernels = kernels
      self.timesOperators = timesOperators
    }
  }

  package let network: Network
  /// What the layers make of the values at the beginning of each step.
  package let prepared: PreparedWeights
  /// Parameters and running statistics; the metrics of the last step follow them.
  package let values: FloatBuffer
  package let optimizer: Optimizer
  package let reducer: GradientReducer
  package let team: ThreadTeam

  private let settings: Settings
  private let communicator: Communicator
  private let lanes: [Lane]
  private let divisions: [Int: StepDivision]
  private let reductionPlans: [Int: ReductionPlan]
  /// Takes the sums of this rank's slice in a step in which it has no microbatch.
  private let idleSums: FloatBuffer
  /// The flat buffer whose slice of this rank holds the sums of the last step.
  private var sums: UnsafeMutablePointer<Float>
  private let reduction: cnn_reduction_kernels
  /// Of the running statistics, in the order of the layout.
  private let momenta: [Double]

  /// - Parameter initial: parameters and running statistics to begin with.
  package init(
    _ network: Network, initial: FloatBuffer, settings: Settings, communicator: Communicator,
    team: ThreadTeam,
    mode: ReductionMode = .tree
  ) throws {
    precondition(
      team.count == settings.layout.lanes[settings.layout.rank], "a lane expects a thread of its own")
    self.network = network
    self.settings = settings
    self.communicator = communicator
    self.team = team
    values = FloatBuffer(count: GradientSlots.extent(of: network.layout))
    values.pointer.update(from: initial.pointer, count: network.layout.extent)
    let needs = settings.microbatchCounts
      .map { StepDivision.needs(microbatches: $0, layout: settings.layout, wave: settings.wave) }
    let partials = needs.map(\.partials).max() ?? 0
    divisions = Dictionary(
      uniqueKeysWithValues: Set(settings.microbatchCounts).map {
        ($0, StepDivision(microbatches: $0, layout: settings.layout, wave: settings.wave, partials: partials))
      })
    let (values, prepared) = (
      values, PreparedWeights(network, values: values, kernels: settings.kernels)
    )
    self.prepared = prepared
    let wave = needs.map(\.wave).max() ?? 0
    let plan =
      wave == 0
      ? nil
      : Plan(
        network, images: wave * settings.microbatch, microbatches: wave, mode: .training,
        kernels: settings.kernels)
    lanes = (0..<team.count).map { _ in
      Lane(
        network: network, plan: plan, values: values, prepared: prepared, partials: partials,
        stackDepth: needs.map(\.stack).max() ?? 0, loss: settings.loss, kernels: settings.kernels,
        timed: settings.timesOperators)
    }
    reduction = cnn_reduction_kernels_for(settings.kernels.kernelTable).pointee
    let reducer = try GradientReducer(
      communicator, extent: values.count, kernels: settings.kernels, mode: mode)
    self.reducer = reducer
    reductionPlans = divisions.mapValues { reducer.plan(for: $0.division) }
    optimizer = Optimizer(
      settings.optimizer, layout: network.layout, slice: reducer.slice.clamped(to: 0..<network.layout.extent),
      kernels: settings.kernels)
    momenta = network.nodes.flatMap { node in
      node.statistics.map { _ in Double((node.layer as? BatchNorm2d)?.momentum ?? 0) }
    }
    idleSums = FloatBuffer(count: divisions.values.contains { $0.run.isEmpty } ? values.count : 0)
    sums = idleSums.pointer
  }

  /// This rank's run of microbatch numbers in a step of `microbatches`.
  package func run(ofStepWith microbatches: Int) -> Range<Int> { division(microbatches).run }

  private func division(_ microbatches: Int) -> StepDivision {
    guard let division = divisions[microbatches] else {
      preconditionFailure("a step expects \(divisions.keys.sorted()) microbatches, got \(microbatches)")
    }
    return division
  }

  /// One step: forward, loss, backward, reduction, update, gather. Collective. Throws `CommunicationError`,
  /// or on all ranks what the one with the first loss that is not finite has to say (`NotFiniteError`).
  package func run(_ batch: StepBatch, learningRate: Double) throws -> StepResult {
    let division = division(batch.microbatches)
    precondition(
      batch.local.count == division.run.count,
      "a rank expects \(division.run.count) microbatches, got \(batch.local.count)")
    team.run { [prepared, team] lane in prepared.prepare(part: lane, of: team.count) }
    team.run { [lanes] lane in
      lanes[lane].compute(
        division.lanes[lane], batch: batch.local, firstMicrobatch: division.run.lowerBound,
        denominator: batch.denominator)
    }
    // Found before the values change, told when all ranks know.
    let notFinite = notFinite(batch, division)
    let partials = zip(lanes, division.lanes).flatMap { $0.partials(of: $1) }
    merge(partials, by: division.merge)
    let roots = division.merge.results.map { partials[$0.partial].sums.pointer }
    sums = roots.first ?? idleSums.pointer
    try reducer.reduceScatter(roots, plan: reductionPlan(batch.microbatches), into: sums)
    update(batch, learningRate: learningRate)
    try reducer.allGather(values.pointer)
    let metrics = values.pointer + network.layout.extent
    guard metrics[0].isFinite else {
      throw try communicator.together { () throws(NotFiniteError) -> NotFiniteError in
        if let notFinite { throw notFinite }
        return NotFiniteError(step: batch.step, microbatch: nil, layer: nil)
      }
    }
    return StepResult(meanLoss: Double(metrics[0]) / Double(batch.denominator), correct: Int(metrics[1]))
  }

  /// The mean gradient of an array in the last step, which this rank's slice must hold.
  package func gradient(of entry: FlatLayout.Entry) -> [Float] {
    precondition(reducer.slice.contains(entry.range), "\(entry.name) doesn't lie in this rank's slice")
    return entry.array(in: sums)
  }

  /// How many of a rank's images a lane computes.
  package func images(ofLane lane: Int, in local: [LoadedMicrobatch], of microbatches: Int) -> Int {
    let division = division(microbatches)
    return division.lanes[lane].waves.flatMap(\.sums.run)
      .reduce(0) { $0 + local[$1 - division.run.lowerBound].images }
  }

  /// What the operators of this rank's first lane took, where the settings ask for it.
  package var operatorTimes: OperatorTimes? { lanes.first?.times }

  private func reductionPlan(_ microbatches: Int) -> ReductionPlan {
    guard let plan = reductionPlans[microbatches] else {
      preconditionFailure("no plan for \(microbatches) microbatches")
    }
    return plan
  }

  private func notFinite(_ batch: StepBatch, _ division: StepDivision) -> NotFiniteError? {
    for lane in lanes {
      guard let number = lane.notFinite else { continue }
      let layer = lane.firstNotFiniteLayer(batch.local[number - division.run.lowerBound])
      return NotFiniteError(step: batch.step, microbatch: number, layer: layer)
    }
    return nil
  }

  /// Adds the partials of all lanes in tree order, each lane in its own part of the flat buffer.
  private func merge(_ partials: [Partial], by plan: MergePlan) {
    guard !plan.additions.isEmpty else { return }
    team.run { [self] lane in
      let part = share(of: 0..<values.count, lane: lane)
      // Chunk by chunk, so that a sum of several stays in the cache.
      for start in stride(from: part.lowerBound, to: part.upperBound, by: FlatLayout.chunk) {
        for addition in plan.additions {
          let (sum, term) = (partials[addition.target].sums.pointer, partials[addition.source].sums.pointer)
          reduction.add(sum + start, term + start, FlatLayout.chunk)
        }
      }
    }
  }

  /// Updates this rank's slice of the values from the same slice of the sums.
  private func update(_ batch: StepBatch, learningRate: Double) {
    team.run { [self] lane in
      optimizer.step(
        values: values.pointer, gradients: sums, range: share(of: optimizer.slice, lane: lane),
        learningRate: learningRate, stepNumber: batch.step + 1)
    }
    RunningStatistics.update(
      values: values.pointer, sums: sums, images: batch.images, momenta: momenta, layout: network.layout,
      slice: optimizer.slice, kernels: settings.kernels)
    let metrics = network.layout.extent..<(network.layout.extent + GradientSlots.metricsCount)
    for position in metrics.clamped(to: reducer.slice) { values[position] = sums[position] }
  }

  /// A lane's part of a range that begins on a chunk border, in whole chunks.
  private func share(of range: Range<Int>, lane: Int) -> Range<Int> {
    let chunks = (range.count + FlatLayout.chunk - 1) / FlatLayout.chunk
    let first = range.lowerBound + chunks * lane / team.count * FlatLayout.chunk
    let last = range.lowerBound + chunks * (lane + 1) / team.count * FlatLayout.chunk
    return first..<min(last, range.upperBound)
  }
}
