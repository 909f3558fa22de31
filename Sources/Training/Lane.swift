import CKernels
import Collectives
import Layers
import Models
import Tensors

/// One microbatch of a step, as a lane takes it in.
package struct LoadedMicrobatch: Sendable {
  /// (C, N, H, W), normalised.
  package let pixels: FloatBuffer
  package let labels: [Int32]
  package let place: BatchPlace

  package init(pixels: FloatBuffer, labels: [Int32], place: BatchPlace) {
    self.pixels = pixels
    self.labels = labels
    self.place = place
  }

  package var images: Int { labels.count }

  /// As a lane takes it in.
  package var part: WavePart { WavePart(pixels: pixels.pointer, images: images, place: place) }
}

/// One thread's share of a rank: it advances its microbatches of a step together, operator by
/// operator, as a wave. Weights are read once a wave, and a layer's gradients go up the tree as soon as
/// the layer is done.
final class Lane: @unchecked Sendable {
  private let network: Network
  private let prepared: PreparedWeights
  /// nil in a lane that never has a microbatch.
  private let inFlight: WaveInFlight?
  private let slots: GradientSlots
  private let loss: SoftmaxCrossEntropy
  private let reduction: cnn_reduction_kernels
  /// nil where no layer asks what other microbatches know.
  private let pooling: LanePooling?
  /// nil where only labels are learnt.
  private let teacher: LaneTeacher?
  /// nil where nobody wants to know.
  let times: OperatorTimes?
  /// The microbatch, by number in the step, whose loss was not a finite number.
  private(set) var notFinite: Int?
  /// The first layer whose output was not finite in that microbatch.
  private(set) var notFiniteLayer: String?
  /// Where the lane's time goes.
  private let track: Track

  /// - Parameters:
  ///   - plan: for the greatest wave of this rank's lanes; nil where none has a microbatch.
  ///   - partials: whole flat buffers, one for each maximal tree node that a step's waves give.
  init(
    network: Network, plan: Plan?, values: FloatBuffer, prepared: PreparedWeights, partials: [FloatBuffer],
    stackDepth: Int, loss: SoftmaxCrossEntropy, kernels: InstructionSet, timed: Bool, track: Track,
    pooling: LanePooling? = nil, teacher: LaneTeacher? = nil
  ) {
    self.network = network
    self.prepared = prepared
    (self.pooling, self.teacher) = (pooling, teacher)
    inFlight = plan.map { WaveInFlight($0, values: values, prepared: prepared) }
    inFlight?.pooling = pooling
    slots = GradientSlots(network: network, partials: partials, stackDepth: stackDepth)
    self.loss = loss
    self.track = track
    times = timed ? OperatorTimes(nodes: network.nodes.count) : nil
    reduction = cnn_reduction_kernels_for(kernels.kernelTable).pointee
  }

  /// Has the lane's messages moved on between the microbatches of an operator too.
  func pauses(for exchange: LaneExchange) { inFlight?.pause = { exchange.poll() } }

  /// Bytes for activations, their gradients and scratch; bytes of sums on their way up the tree.
  var memoryBytes: (activations: Int, tree: Int) {
    let floats = inFlight.map { $0.plan.arenaCount + $0.plan.scratchCount } ?? 0
    return (floats * MemoryLayout<Float>.stride, slots.stackBytes)
  }

  /// Forward, loss and backward of this lane's run of a step.
  ///
  /// - Parameters:
  ///   - work: the waves of the run, each with its schedule up the tree.
  ///   - batch: the rank's microbatches; `firstMicrobatch` is the number in the step of the first.
  ///   - totals: of the whole step, on all ranks.
  ///   - exchange: hears what is final, and knows when values are new.
  ///   - witness: sees the gradients of the microbatch that is computed twice, in a step that has one.
  func compute(
    _ work: LaneWork, batch: [LoadedMicrobatch], firstMicrobatch: Int, totals: StepTotals,
    exchange: LaneExchange, witness: GradientWitness? = nil
  ) {
    (notFinite, notFiniteLayer) = (nil, nil)
    precondition(
      inFlight != nil || work.waves.isEmpty, "a lane without a plan can't compute \(work.waves.count) waves")
    if let pooling, work.waves.isEmpty, pooling.attendsIdle { attend(pooling, exchange) }
    for (position, wave) in work.waves.enumerated() {
      guard let inFlight else { break }
      let isLast = position == work.waves.count - 1
      load(wave, inFlight, batch: batch, firstMicrobatch: firstMicrobatch)
      track.measure(.forward) {
        forward(wave, inFlight, exchange)
        exchange.awaitAllValues()
        computeLoss(wave, inFlight, batch: batch, firstMicrobatch: firstMicrobatch, totals, exchange)
      }
      if notFinite != nil, notFiniteLayer == nil {
        // Before this lane's backward, while the values are still those of the step.
        nameFirstNotFinite(in: wave, inFlight, batch: batch, firstMicrobatch: firstMicrobatch)
        load(wave, inFlight, batch: batch, firstMicrobatch: firstMicrobatch)
      }
      if isLast { exchange.lossDone() }
      track.measure(.backward) { backward(wave, inFlight, exchange, witness, isLast: isLast) }
    }
    exchange.done()
  }

  /// One microbatch by itself, between two steps, for the witness alone: the values are settled, and the
  /// reducer doesn't hear of it.
  func computeAlone(
    _ microbatch: LoadedMicrobatch, tree: ReductionTree, totals: StepTotals, witness: GradientWitness,
    exchange: LaneExchange
  ) {
    guard let inFlight else { preconditionFailure("a lane without a plan can't compute a microbatch") }
    let number = witness.microbatch
    let sums = AccumulationPlan(tree: tree, run: number..<(number + 1))
    let wave = LaneWork.Wave(sums: sums, firstPartial: 0, firstStackSlot: 0)
    inFlight.pooling = pooling == nil ? nil : PoolingAlone()
    defer { inFlight.pooling = pooling }
    load(wave, inFlight, batch: [microbatch], firstMicrobatch: number)
    forward(wave, inFlight, exchange)
    computeLoss(wave, inFlight, batch: [microbatch], firstMicrobatch: number, totals, exchange)
    backward(wave, inFlight, exchange, witness, isLast: false)
  }

  private func load(
    _ wave: LaneWork.Wave, _ inFlight: WaveInFlight, batch: [LoadedMicrobatch], firstMicrobatch: Int
  ) {
    let run = wave.sums.run
    inFlight.load(count: run.count) { batch[run.lowerBound + $0 - firstMicrobatch].part }
  }

  /// In a step in which this lane has no microbatch: what the others can't do without its rank.
  private func attend(_ pooling: LanePooling, _ exchange: LaneExchange) {
    exchange.idle()
    for (rule, nodes) in [(PoolingRule.moments, network.nodes), (.sums, network.nodes.reversed())] {
      for node in nodes where rule == .moments || node.runsBackward {
        (node.layer as? BatchNorm2d)?.takePart(in: pooling, inputs: node.inputShapes, by: rule)
      }
    }
  }

  /// Names microbatch and layer. Where batch norm pools, one microbatch has made the loss of all others not
  /// finite: then the first that has no finite loss by itself is meant, or none.
  private func nameFirstNotFinite(
    in wave: LaneWork.Wave, _ inFlight: WaveInFlight, batch: [LoadedMicrobatch], firstMicrobatch: Int
  ) {
    guard let first = notFinite else { return }
    inFlight.pooling = pooling == nil ? nil : PoolingAlone()
    defer { inFlight.pooling = pooling }
    for number in pooling == nil ? first..<(first + 1) : wave.sums.run where notFiniteLayer == nil {
      notFinite = number
      notFiniteLayer = firstNotFiniteLayer(batch[number - firstMicrobatch], inFlight)
    }
    if pooling != nil, notFiniteLayer == nil { notFinite = nil }
  }

  /// Runs a microbatch forward once more and names the first layer whose output is not finite.
  private func firstNotFiniteLayer(_ microbatch: LoadedMicrobatch, _ inFlight: WaveInFlight) -> String? {
    inFlight.load([microbatch.part])
    for (index, node) in network.nodes.enumerated() {
      inFlight.forward(node: index)
      if !inFlight.isFinite(node: index) { return node.name }
    }
    return nil
  }

  private func forward(_ wave: LaneWork.Wave, _ inFlight: WaveInFlight, _ exchange: LaneExchange) {
    for (index, node) in network.nodes.enumerated() {
      awaitWeights(of: index, exchange)
      timed(index, .forward) { inFlight.forward(node: index) }
      if node.statisticsRange.isEmpty { continue }
      timed(index, .statistics) {
        climb(wave, .statistics(node: index), exchange) { microbatch, slot in
          inFlight.batchStatistics(
            node: index, microbatch: microbatch, into: slots.batchStatistics(of: index, in: slot))
          let weight = Float(inFlight.images(of: microbatch))
          let sums = slots.floats(of: .statistics(node: index), in: slot)
          for position in sums.indices { sums[position] *= weight }
        }
      }
    }
  }

  /// Waits until a node has its new values and they are made ready, by this lane or by another; in the
  /// latter case makes those of later nodes ready meanwhile.
  private func awaitWeights(of node: Int, _ exchange: LaneExchange) {
    exchange.awaitValues(of: node)
    if prepared.make(node) { return }
    var ahead = node + 1
    while !prepared.isMade(node) {
      if ahead < network.nodes.count, exchange.hasValues(of: ahead) {
        prepared.make(ahead)
        ahead += 1
      } else {
        exchange.poll()
      }
    }
  }

  private func computeLoss(
    _ wave: LaneWork.Wave, _ inFlight: WaveInFlight, batch: [LoadedMicrobatch], firstMicrobatch: Int,
    _ totals: StepTotals, _ exchange: LaneExchange
  ) {
    climb(wave, .metrics, exchange) { microbatch, slot in
      let number = wave.sums.run.lowerBound + microbatch
      let sums = lossSums(inFlight, microbatch, of: batch[number - firstMicrobatch], totals, exchange)
      let metrics = slots.floats(of: .metrics, in: slot)
      metrics[0] = Float(sums.loss)
      if !metrics[0].isFinite && notFinite == nil { notFinite = number }
      metrics[1] = Float(sums.correct)
    }
  }

  /// What a microbatch adds to the loss, which the step's denominator divides, and the gradient of its class scores.
  private func lossSums(
    _ inFlight: WaveInFlight, _ microbatch: Int, of loaded: LoadedMicrobatch, _ totals: StepTotals,
    _ exchange: LaneExchange
  ) -> SoftmaxCrossEntropy.Sums {
    guard let teacher else {
      return inFlight.computeLoss(
        loss, microbatch: microbatch, labels: loaded.labels, denominator: totals.denominator)
    }
    let share = teacher.distillation.weight
    let scores = teacher.look(at: loaded) { exchange.poll() }
    var sums = inFlight.computeLoss(
      loss, microbatch: microbatch, labels: loaded.labels, denominator: totals.denominator / (1 - share))
    let divergence = inFlight.learn(
      teacher.distillation, microbatch: microbatch, from: scores, batch: totals.images)
    sums.loss =
      Double(1 - share) * sums.loss
      + Double(share * totals.denominator / Float(totals.images)) * divergence
    return sums
  }

  private func backward(
    _ wave: LaneWork.Wave, _ inFlight: WaveInFlight, _ exchange: LaneExchange, _ witness: GradientWitness?,
    isLast: Bool
  ) {
    for index in network.nodes.indices.reversed() {
      for number in inFlight.plan.repeats[index] {
        exchange.poll()
        timed(inFlight.plan.repeated[number], .again) { inFlight.forwardAgain(number) }
      }
      // Before the first layer that is trained nobody wants a gradient.
      guard network.nodes[index].runsBackward else { continue }
      exchange.poll()
      if network.nodes[index].isTrained {
        timed(index, .parameters) {
          // Who rounds leaves, or looks at one, must have them.
          let needsLeaves = exchange.rounds || witness.map { wave.sums.run.contains($0.microbatch) } ?? false
          climb(
            wave, .parameters(node: index), exchange,
            sum: { microbatches, slot in
              !needsLeaves
                && inFlight.sumParameterGradients(
                  node: index, microbatches: microbatches,
                  into: slots.parameterGradients(of: index, in: slot))
            },
            leaf: { microbatch, slot in
              inFlight.backwardParameters(
                node: index, microbatch: microbatch, into: slots.parameterGradients(of: index, in: slot))
              witness?.see(
                microbatch: wave.sums.run.lowerBound + microbatch, node: index,
                gradients: slots.floats(of: .parameters(node: index), in: slot))
            })
        }
      }
      timed(index, .data) { inFlight.backwardData(node: index) }
      if isLast && network.nodes[index].isTrained { exchange.backwardDone(node: index) }
    }
  }

  private func timed(_ node: Int, _ pass: OperatorTimes.Pass, _ body: () -> Void) {
    guard let times else { return body() }
    times.measure(node, pass, body)
  }

  /// Computes the leaves of a wave one after the other and adds each up the tree as far as it goes.
  /// `leaf` hears the microbatch's number in the wave. `sum` computes a maximal node of the run at once where it can:
  /// then its leaves need not be written and read.
  private func climb(
    _ wave: LaneWork.Wave, _ section: GradientSlots.Section, _ exchange: LaneExchange,
    sum: (_ microbatches: Range<Int>, _ slot: Int) -> Bool = { _, _ in false },
    leaf: (_ microbatch: Int, _ slot: Int) -> Void
  ) {
    let (sums, first) = (wave.sums, wave.sums.run.lowerBound)
    for (slot, whole) in sums.nodes.enumerated() {
      if whole.count > 1, sum(whole.lowerBound - first..<whole.upperBound - first, wave.slot(slot)) {
        exchange.poll()
        continue
      }
      for position in sums.stepsOfNode[slot] {
        take(sums.steps[position], to: sums.stepNodes[position], of: wave, section, exchange, leaf: leaf)
      }
    }
  }

  private func take(
    _ step: AccumulationPlan.Step, to node: Range<Int>, of wave: LaneWork.Wave,
    _ section: GradientSlots.Section, _ exchange: LaneExchange, leaf: (_ microbatch: Int, _ slot: Int) -> Void
  ) {
    switch step {
    case .leaf(let number, let slot):
      leaf(number - wave.sums.run.lowerBound, wave.slot(slot))
      exchange.round(slots.floats(of: section, in: wave.slot(slot)), of: section, node: node)
      exchange.poll()
    case .add(let source, let target):
      let sum = slots.floats(of: section, in: wave.slot(target))
      let term = slots.floats(of: section, in: wave.slot(source))
      if !exchange.addRounded(sum, term, of: section, node: node) {
        reduction.add(sum.baseAddress, term.baseAddress, sum.count)
      }
    }
  }
}
