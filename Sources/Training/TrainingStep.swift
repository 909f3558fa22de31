import Collectives
import Layers
import Models
import Tensors

/// A rank's part in one optimizer step, the same for random images and for real ones: lanes compute, and
/// meanwhile sums go up the tree, this rank updates its pieces of the values, and everyone gets the new
/// values, some of them only while the next step's forward pass goes on.
package final class TrainingStep: @unchecked Sendable {
  package struct Settings: Sendable {
    package var layout: JobLayout
    /// The numbers of microbatches that a step may have: of a full batch, and of a short last one.
    package var microbatchCounts: [Int]
    /// The most images of a microbatch.
    package var microbatch: Int
    /// Microbatches in flight in a lane; 0 for as many as are fastest (`waveInFlight`).
    package var wave: Int
    /// What lanes keep of a forward pass.
    package var checkpointing = ActivationCheckpointing.none
    package var loss: SoftmaxCrossEntropy
    /// Whose class scores are learnt too; nil for the labels alone.
    package var teacher: Teacher?
    package var optimizer: OptimizerConfig
    /// What is updated otherwise.
    package var rules = ParameterRules.none
    /// How much of a moving average of the values a step keeps; 0 for no average.
    package var averageDecay: Double
    package var reduce: ReduceConfig
    /// Of the rounding of gradients, and of the choice of what is computed twice.
    package var seed: UInt64
    package var kernels: InstructionSet
    /// Spans that each track of the timeline has room for; 0 where no trace is wanted.
    package var traceCapacity = 0
    /// What is watched, off unless asked for.
    package var checks = ChecksConfig(memory: false, recomputeEvery: 0)
    /// Whether lanes measure what their operators take.
    package var timesOperators: Bool
    /// What this rank may still allocate.
    package var memoryLimits = MemoryLimit.current()

    package init(
      layout: JobLayout, microbatchCounts: [Int], microbatch: Int, wave: Int, loss: SoftmaxCrossEntropy,
      optimizer: OptimizerConfig, averageDecay: Double = 0, reduce: ReduceConfig = ReduceConfig(),
      seed: UInt64 = 0, kernels: InstructionSet, timesOperators: Bool = false
    ) {
      self.layout = layout
      self.microbatchCounts = microbatchCounts
      self.microbatch = microbatch
      self.wave = wave
      self.loss = loss
      self.optimizer = optimizer
      self.averageDecay = averageDecay
      self.reduce = reduce
      self.seed = seed
      self.kernels = kernels
      self.timesOperators = timesOperators
    }
  }

  package let network: Network
  /// What the layers make of the values at the beginning of each step.
  package let prepared: PreparedWeights
  package let update: WeightUpdate
  package let reducer: GradientReducer
  package let team: ThreadTeam
  package let timeline: Timeline
  /// A test's hand in the gradients of a microbatch that is computed twice, on the rank that owns it.
  package var plantedFault: (@Sendable (String, UnsafeMutableBufferPointer<Float>) -> Void)?

  private let checks: StepChecks
  private let settings: Settings
  private let communicator: Communicator
  private let lanes: [Lane]
  private let divisions: [Int: StepDivision]
  private let plans: [Int: ExchangePlan]
  /// Where batch norms over the global batch meet, and who brings what.
  private let meeting: TreeMeeting?
  private let meetingPlans: [Int: TreeMeeting.Plan]
  private let schedule: BucketSchedule
  /// Of the running statistics, in the order of the layout.
  private let momenta: [Double]
  /// Whether the values of frozen layers are others than in the last step.
  private var constantsAreNew = true

  /// - Parameters:
  ///   - initial: parameters and running statistics to begin with.
  ///   - timeline: where time is kept, if not in a new one.
  package init(
    _ network: Network, initial: FloatBuffer, settings: Settings, communicator: Communicator,
    team: ThreadTeam, mode: ReductionMode = .tree, timeline known: Timeline? = nil
  ) throws {
    precondition(
      team.count == settings.layout.lanes[settings.layout.rank], "a lane expects a thread of its own")
    var settings = settings
    settings.wave = settings.waveInFlight(network, nodes: communicator.nodeCount)
    self.network = network
    self.settings = settings
    self.communicator = communicator
    self.team = team
    try settings.requireMemory(for: network, communicator)
    let needs = settings.needs(ofRank: settings.layout.rank)
    let partials = needs.partials
    let counts = Set(settings.microbatchCounts).sorted()
    let divisions = counts.map {
      StepDivision(microbatches: $0, layout: settings.layout, wave: settings.wave, partials: partials)
    }
    self.divisions = Dictionary(uniqueKeysWithValues: zip(counts, divisions))
    let buckets = settings.reduce.buckets(
      extent: GradientSlots.extent(of: network.layout), tail: network.layout.parameterExtent,
      ranks: communicator.size)
    let reducer = try GradientReducer(
      communicator, buckets: buckets, valuesExtent: network.layout.valuesExtent,
      partialCount: partials * team.count, lanes: team.count,
      kernels: settings.kernels,
      options: GradientReducer.Options(
        mode: mode, updatesTogether: WeightUpdate.needsNorms(settings.optimizer),
        sharesMemory: settings.reduce.sharedMemory, rounds: settings.reduce.precision == .bf16,
        fanIn: settings.reduce.fanIn))
    self.reducer = reducer
    try reducer.replaceValues(initial.pointer, count: network.layout.extent)
    plans = Dictionary(
      uniqueKeysWithValues: try zip(counts, divisions).map {
        ($0, try reducer.plan(for: $1.division, sums: $1.sums))
      })
    schedule = BucketSchedule(network, buckets: buckets)
    let timeline = known ?? Timeline(lanes: team.count, capacity: settings.traceCapacity)
    self.timeline = timeline
    let prepared = PreparedWeights(
      network, values: reducer.values, mode: .training, kernels: settings.kernels)
    self.prepared = prepared
    let plan = settings.plan(network, wave: needs.wave)
    let meeting = network.meeting(communicator, microbatches: counts.last ?? 0)
    precondition(
      meeting == nil || settings.wave == 0 || settings.wave >= counts.last ?? 0,
      "statistics over the global batch expect all microbatches of a step in flight")
    self.meeting = meeting
    meetingPlans = Dictionary(
      uniqueKeysWithValues: zip(counts, divisions).compactMap { count, division in
        meeting.map { (count, $0.plan(for: division.division)) }
      })
    lanes = (0..<team.count).map { lane in
      Lane(
        network: network, plan: plan, values: reducer.values, prepared: prepared,
        partials: Array(reducer.partials[(lane * partials)..<((lane + 1) * partials)]),
        stackDepth: needs.stack, loss: settings.loss, kernels: settings.kernels,
        timed: settings.timesOperators, track: timeline.lanes[lane],
        pooling: meeting.map {
          LanePooling($0, reducer: reducer, lane: lane, track: timeline.lanes[lane])
        },
        teacher: plan == nil ? nil : settings.teacher.map { LaneTeacher($0, images: settings.microbatch) })
    }
    update = WeightUpdate(
      settings.optimizer, rules: settings.rules, averageDecay: settings.averageDecay, layout: network.layout,
      slices: reducer.pieces.map { $0.clamped(to: 0..<network.layout.summedExtent) }, values: reducer.values,
      communicator: communicator, team: team, kernels: settings.kernels)
    checks = StepChecks(
      settings.checks, rank: communicator.rank, layout: network.layout, values: reducer.values,
      update: update, copies: reducer.copies, kernels: settings.kernels)
    momenta = network.nodes.filter(\.gathersStatistics).flatMap { node in
      node.statistics.map { _ in Double((node.layer as? BatchNorm2d)?.momentum ?? 0) }
    }
    if reducer.groupCount > 1 {
      for (number, lane) in lanes.enumerated() { lane.pauses(for: exchange(number, rounding: nil)) }
    }
  }

  /// Parameters and running statistics; the metrics of the last step follow those that are trained. All ranks that share memory
  /// have one copy. Between two steps `settle` comes before reading, `replaceValues` is how to write.
  package var values: FloatBuffer { reducer.values }

  package var optimizer: Optimizer { update.optimizer }

  /// What is evaluated and saved as the weights: the moving average where one is kept, else the values.
  package var evaluated: FloatBuffer { update.averages ?? values }

  /// Waits until the values of the last step, and their average, are complete, and checks that nothing has
  /// changed since they were written. Collective.
  package func settle() throws {
    try timeline.rank.measure(.gather) { try reducer.settle() }
    try timeline.rank.measure(.check) {
      checks.verifyAll(on: team, step: timeline.rank.step)
      try communicator.together { try checks.throwFault() }
    }
    if let averages = update.averages { try reducer.gather(averages) }
  }

  /// Overwrites `evaluated` on every rank. Collective.
  package func replaceEvaluated(with new: FloatBuffer) throws {
    guard let averages = update.averages else { return try replaceValues(with: new) }
    averages.pointer.update(from: new.pointer, count: network.layout.extent)
    checks.forget()
  }

  /// Overwrites parameters and running statistics on every rank. Collective.
  package func replaceValues(with new: FloatBuffer) throws {
    try reducer.replaceValues(new.pointer, count: network.layout.extent)
    constantsAreNew = true
    checks.forget()
  }

  /// Throws what this rank has found changed in its memory in the steps so far.
  package func throwFault() throws { try checks.throwFault() }

  /// This rank's run of microbatch numbers in a step of `microbatches`.
  package func run(ofStepWith microbatches: Int) -> Range<Int> { division(microbatches).run }

  private func division(_ microbatches: Int) -> StepDivision {
    guard let division = divisions[microbatches] else {
      preconditionFailure("a step expects \(divisions.keys.sorted()) microbatches, got \(microbatches)")
    }
    return division
  }

  /// One step: forward, loss, backward, reduction, update. Collective. Returns when this rank's lanes are done
  /// and the step's metrics are known; what remains goes on in the next step, or in `settle`, which also
  /// comes before this object is let go: messages may be on their way from its memory. Throws
  /// `CommunicationError`, or on all ranks what the one with the first loss that is not finite has to say
  /// (`NotFiniteError`).
  package func run(_ batch: StepBatch, learningRate: Double) throws -> StepResult {
    let division = division(batch.microbatches)
    precondition(
      batch.local.count == division.run.count,
      "a rank expects \(division.run.count) microbatches, got \(batch.local.count)")
    guard let plan = plans[batch.microbatches] else {
      preconditionFailure("no plan for \(batch.microbatches) microbatches")
    }
    let (images, step) = (batch.images, batch.step)
    let rounding =
      settings.reduce.precision == .bf16
      ? NodeRounding(seed: settings.seed, step: step, kernels: settings.kernels) : nil
    timeline.rank.step = step
    for track in timeline.lanes { track.step = step }
    let recomputation = try timeline.rank.measure(.check) { try recomputeIfDue(batch, division) }
    reducer.begin(plan, rounding: rounding, copies: checks.copyWatch(step: step)) {
      [unowned self] piece, sums, lane in
      timeline.lanes[lane].measureInside(.update) {
        apply(piece, sums, images: images, step: step, learningRate: learningRate)
      }
    }
    if let meeting, let plan = meetingPlans[batch.microbatches] { meeting.begin(plan) }
    prepared.begin(constants: constantsAreNew)
    constantsAreNew = false
    timeline.rank.measure(.compute) {
      team.run { [self] lane in
        lanes[lane].compute(
          division.lanes[lane], batch: batch.local, firstMicrobatch: division.run.lowerBound,
          totals: batch.totals, exchange: exchange(lane, rounding: rounding),
          witness: recomputation?.witness(ofLane: lane))
      }
    }
    try timeline.rank.measure(.reduce) { try finishSums() }
    if reducer.options.updatesTogether {
      try timeline.rank.measure(.update) {
        checks.verifyOwned(on: team, step: step)
        try update.prepare(values: values.pointer, gradients: reducer.sums, stepNumber: step + 1)
        reducer.release()
        team.run { [self] in reducer.helpOut(lane: $0) }
      }
    }
    try timeline.rank.measure(.reduce) { try reducer.awaitTail() }
    try timeline.rank.measure(.check) { try recomputation?.compare(step: step, communicator: communicator) }
    let metrics = values.pointer + network.layout.summedExtent
    guard metrics[0].isFinite else {
      let notFinite = notFinite(batch)
      throw try communicator.together { () throws(NotFiniteError) -> NotFiniteError in
        if let notFinite { throw notFinite }
        return NotFiniteError(step: batch.step, microbatch: nil, layer: nil)
      }
    }
    return StepResult(meanLoss: Double(metrics[0]) / Double(batch.denominator), correct: Int(metrics[1]))
  }

  private func exchange(_ lane: Int, rounding: NodeRounding?) -> LaneExchange {
    LaneExchange(
      reducer: reducer, schedule: schedule, lane: lane, track: timeline.lanes[lane], rounding: rounding)
  }

  /// Sums that lanes don't make on their way.
  private func finishSums() throws {
    if reducer.options.mode == .allReduce {
      try reducer.reduceInAnyOrder()
      team.run { [self] in reducer.helpOut(lane: $0) }
    }
    if reducer.options.updatesTogether { try reducer.awaitSums() }
  }

  /// Has a microbatch computed by another rank, in a step in which that is due. Collective.
  private func recomputeIfDue(_ batch: StepBatch, _ division: StepDivision) throws -> Recomputation? {
    let interval = settings.checks.recomputeEvery
    guard interval > 0, (batch.step + 1) % interval == 0 else { return nil }
    // Its memory is free, and its weights are those of the step, when the last step is wholly over.
    try reducer.settle()
    prepared.begin()
    let plan = RecomputePlan(division.division, seed: settings.seed, step: batch.step)
    let own =
      division.run.contains(plan.microbatch) ? batch.local[plan.microbatch - division.run.lowerBound] : nil
    return try Recomputation(
      plan, own: own, inStep: meeting == nil, communicator: communicator,
      witness: {
        GradientWitness(
          microbatch: plan.microbatch, network: network, kernels: settings.kernels,
          fault: $0 ? plantedFault : nil)
      }
    ) { [self] microbatch, witness, chosen in
      team.run { [self] lane in
        guard lane == chosen else { return }
        lanes[lane].computeAlone(
          microbatch, tree: division.division.tree, totals: batch.totals, witness: witness,
          exchange: exchange(lane, rounding: nil))
      }
    }
  }

  /// Of a step with the most microbatches: partial sums that groups of ranks send each other for each piece of
  /// the gradient, and the bytes that this rank sends, new values included.
  package var traffic: (partialSums: Int, bytesSent: Int) {
    let plan = settings.microbatchCounts.max().flatMap { plans[$0] }
    return (plan?.partialCount ?? 0, plan?.bytesSent ?? 0)
  }

  /// What a step takes on this rank.
  package var memory: MemoryUse {
    func bytes(_ buffer: FloatBuffer?) -> Int { (buffer?.count ?? 0) * MemoryLayout<Float>.stride }
    let lanes = lanes.map(\.memoryBytes)
    return MemoryUse(
      sharers: reducer.sharers, weights: bytes(values), average: bytes(update.averages),
      optimizer: optimizer.stateBytes, prepared: prepared.count * MemoryLayout<Float>.stride,
      activations: lanes.reduce(0) { $0 + $1.activations },
      gradients: reducer.partials.reduce(0) { $0 + bytes($1) },
      tree: lanes.reduce(0) { $0 + $1.tree } + (meeting?.memoryBytes ?? 0), exchange: reducer.exchangeBytes,
      teacher: settings.teacherBytes(ofRank: settings.layout.rank))
  }

  /// The mean gradient of an array in the last step, as far as this rank owns it; the rest is 0.
  package func gradient(of entry: FlatLayout.Entry) -> [Float] {
    let own = FloatBuffer(count: entry.range.upperBound)
    for piece in reducer.pieces {
      for place in piece.clamped(to: entry.range) { own[place] = reducer.sums[place] }
    }
    return entry.array(in: own.pointer)
  }

  /// How many of a rank's images a lane computes.
  package func images(ofLane lane: Int, in local: [LoadedMicrobatch], of microbatches: Int) -> Int {
    let division = division(microbatches)
    return division.lanes[lane].waves.flatMap(\.sums.run)
      .reduce(0) { $0 + local[$1 - division.run.lowerBound].images }
  }

  /// What the operators of this rank's first lane took, where the settings ask for it.
  package var operatorTimes: OperatorTimes? { lanes.first?.times }

  private func notFinite(_ batch: StepBatch) -> NotFiniteError? {
    guard let lane = lanes.first(where: { $0.notFinite != nil }) else { return nil }
    return NotFiniteError(step: batch.step, microbatch: lane.notFinite, layer: lane.notFiniteLayer)
  }

  /// Updates a piece of the values from the same piece of the sums.
  private func apply(
    _ piece: Range<Int>, _ sums: UnsafeMutablePointer<Float>, images: Int, step: Int, learningRate: Double
  ) {
    let (layout, values) = (network.layout, values)
    let owned = piece.clamped(to: 0..<layout.summedExtent)
    if !reducer.options.updatesTogether { checks.verify(owned, step: step) }
    update.apply(
      piece.clamped(to: 0..<layout.parameterExtent), values: values.pointer, gradients: sums,
      learningRate: learningRate, stepNumber: step + 1)
    RunningStatistics.update(
      values: values.pointer, sums: sums, images: images, momenta: momenta, layout: layout, slice: piece,
      kernels: settings.kernels)
    update.followValues(values.pointer, in: owned)
    checks.remember(owned)
    let metrics = layout.summedExtent..<(layout.summedExtent + GradientSlots.metricsCount)
    for position in metrics.clamped(to: piece) { values[position] = sums[position] }
  }
}
