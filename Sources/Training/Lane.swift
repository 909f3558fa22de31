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
}

/// One thread's share of a rank: it advances its microbatches of a step together, operator by
/// operator, as a wave. Weights are read once a wave, and a layer's gradients go up the tree as soon as
/// the layer is done.
final class Lane: @unchecked Sendable {
  private let network: Network
  private let inFlight: [MicrobatchInFlight]
  private let slots: GradientSlots
  private let loss: SoftmaxCrossEntropy
  private let kernels: InstructionSet
  private let reduction: cnn_reduction_kernels
  /// The microbatch, by number in the step, whose loss was not a finite number.
  private(set) var notFinite: Int?
  /// The first layer whose output was not finite in that microbatch.
  private(set) var notFiniteLayer: String?

  /// - Parameters:
  ///   - wave: how many microbatches may be in flight at once.
  ///   - partials: whole flat buffers, one for each maximal tree node that a step's waves give.
  init(
    plan: Plan, values: FloatBuffer, wave: Int, partials: [FloatBuffer], stackDepth: Int,
    loss: SoftmaxCrossEntropy, kernels: InstructionSet
  ) {
    network = plan.network
    let scratch = FloatBuffer(count: plan.scratchCount)
    inFlight = (0..<wave).map { _ in
      MicrobatchInFlight(plan, values: values, scratch: scratch, kernels: kernels)
    }
    slots = GradientSlots(network: plan.network, partials: partials, stackDepth: stackDepth)
    self.loss = loss
    self.kernels = kernels
    reduction = cnn_reduction_kernels_for(kernels.kernelTable).pointee
  }

  /// Forward, loss and backward of this lane's run of a step.
  ///
  /// - Parameters:
  ///   - work: the waves of the run, each with its schedule up the tree.
  ///   - batch: the rank's microbatches; `firstMicrobatch` is the number in the step of the first.
  ///   - denominator: Σ of the labels' weights over the whole step, on all ranks.
  ///   - exchange: hears what is final, and knows when values are new.
  func compute(
    _ work: LaneWork, batch: [LoadedMicrobatch], firstMicrobatch: Int, denominator: Float,
    exchange: LaneExchange
  ) {
    (notFinite, notFiniteLayer) = (nil, nil)
    for (position, wave) in work.waves.enumerated() {
      let isLast = position == work.waves.count - 1
      for (slot, number) in wave.sums.run.enumerated() {
        let microbatch = batch[number - firstMicrobatch]
        inFlight[slot].load(microbatch.pixels.pointer, images: microbatch.images, place: microbatch.place)
      }
      forward(wave, exchange)
      exchange.awaitAllValues()
      computeLoss(
        wave, batch: batch, firstMicrobatch: firstMicrobatch, denominator: denominator, exchange)
      nameLayerThatIsNotFinite(wave, batch: batch, firstMicrobatch: firstMicrobatch)
      if isLast { exchange.lossDone() }
      backward(wave, exchange, isLast: isLast)
    }
    exchange.done()
  }

  /// Before this lane's backward, while the values are still those of the step.
  private func nameLayerThatIsNotFinite(
    _ wave: LaneWork.Wave, batch: [LoadedMicrobatch], firstMicrobatch: Int
  ) {
    guard let number = notFinite, notFiniteLayer == nil else { return }
    notFiniteLayer = firstNotFiniteLayer(batch[number - firstMicrobatch])
    let own = batch[wave.sums.run.lowerBound - firstMicrobatch]
    inFlight[0].load(own.pixels.pointer, images: own.images, place: own.place)
  }

  /// Runs a microbatch forward once more and names the first layer whose output is not finite.
  private func firstNotFiniteLayer(_ microbatch: LoadedMicrobatch) -> String? {
    let pass = inFlight[0]
    pass.load(microbatch.pixels.pointer, images: microbatch.images, place: microbatch.place)
    for (index, node) in network.nodes.enumerated() {
      // Some slot has to take the statistics; the step is lost anyway.
      pass.forward(node: index, batchStatistics: slots.batchStatistics(of: index, in: 0))
      let output = UnsafeBufferPointer(
        start: pass.output(of: index), count: node.shape.count * microbatch.images)
      if !output.allSatisfy(\.isFinite) { return node.name }
    }
    return nil
  }

  private func forward(_ wave: LaneWork.Wave, _ exchange: LaneExchange) {
    for (index, node) in network.nodes.enumerated() {
      exchange.awaitValues(of: index)
      if node.statistics.isEmpty {
        for pass in inFlight.prefix(wave.sums.run.count) { pass.forward(node: index) }
        continue
      }
      climb(wave, .statistics(node: index), exchange) { pass, slot in
        pass.forward(node: index, batchStatistics: slots.batchStatistics(of: index, in: slot))
        let weight = Float(pass.images)
        let sums = slots.floats(of: .statistics(node: index), in: slot)
        for position in sums.indices { sums[position] *= weight }
      }
    }
  }

  private func computeLoss(
    _ wave: LaneWork.Wave, batch: [LoadedMicrobatch], firstMicrobatch: Int, denominator: Float,
    _ exchange: LaneExchange
  ) {
    climb(
      wave, .metrics, exchange,
      numbered: { number, pass, slot in
        let sums = loss.forwardBackward(
          logits: pass.logits, labels: batch[number - firstMicrobatch].labels, images: pass.images,
          denominator: denominator, dLogits: pass.logitsGradient, kernels: kernels)
        let metrics = slots.floats(of: .metrics, in: slot)
        metrics[0] = Float(sums.loss)
        if !metrics[0].isFinite && notFinite == nil { notFinite = number }
        metrics[1] = Float(sums.correct)
      })
  }

  private func backward(_ wave: LaneWork.Wave, _ exchange: LaneExchange, isLast: Bool) {
    for index in network.nodes.indices.reversed() {
      exchange.poll()
      if network.nodes[index].parameters.isEmpty {
        for pass in inFlight.prefix(wave.sums.run.count) {
          pass.backward(node: index, parameterGradients: [])
        }
        continue
      }
      climb(wave, .parameters(node: index), exchange) { pass, slot in
        pass.backward(node: index, parameterGradients: slots.parameterGradients(of: index, in: slot))
      }
      if isLast { exchange.backwardDone(node: index) }
    }
  }

  /// Computes the leaves of a wave one after the other and adds each up the tree as far as it goes.
  private func climb(
    _ wave: LaneWork.Wave, _ section: GradientSlots.Section, _ exchange: LaneExchange,
    leaf: (MicrobatchInFlight, Int) -> Void
  ) {
    climb(wave, section, exchange, numbered: { _, pass, slot in leaf(pass, slot) })
  }

  private func climb(
    _ wave: LaneWork.Wave, _ section: GradientSlots.Section, _ exchange: LaneExchange,
    numbered leaf: (Int, MicrobatchInFlight, Int) -> Void
  ) {
    for (step, node) in zip(wave.sums.steps, wave.sums.stepNodes) {
      switch step {
      case .leaf(let number, let slot):
        leaf(number, inFlight[number - wave.sums.run.lowerBound], wave.slot(slot))
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
}
