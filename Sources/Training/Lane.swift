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

/// A node of the reduction tree with the flat sums of its microbatches.
struct Partial {
  let node: Range<Int>
  let sums: FloatBuffer
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

  /// - Parameters:
  ///   - wave: how many microbatches may be in flight at once.
  ///   - partials: the most maximal tree nodes that a step's waves give.
  init(
    plan: Plan, values: FloatBuffer, wave: Int, partials: Int, stackDepth: Int, loss: SoftmaxCrossEntropy,
    kernels: InstructionSet
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
  func compute(_ work: LaneWork, batch: [LoadedMicrobatch], firstMicrobatch: Int, denominator: Float) {
    notFinite = nil
    for wave in work.waves {
      for (slot, number) in wave.sums.run.enumerated() {
        let microbatch = batch[number - firstMicrobatch]
        inFlight[slot].load(microbatch.pixels.pointer, images: microbatch.images, place: microbatch.place)
      }
      forward(wave)
      computeLoss(wave, batch: batch, firstMicrobatch: firstMicrobatch, denominator: denominator)
      backward(wave)
    }
  }

  /// The sums that `compute` left, one for each maximal node of each wave, in leaf order.
  func partials(of work: LaneWork) -> [Partial] {
    work.waves.flatMap { wave in
      wave.sums.nodes.enumerated().map { Partial(node: $1, sums: slots.partial(wave.firstPartial + $0)) }
    }
  }

  /// Runs a microbatch forward once more and names the first layer whose output is not finite.
  func firstNotFiniteLayer(_ microbatch: LoadedMicrobatch) -> String? {
    let pass = inFlight[0]
    pass.load(microbatch.pixels.pointer, images: microbatch.images, place: microbatch.place)
    for (index, node) in network.nodes.enumerated() {
      pass.forward(node: index, batchStatistics: slots.batchStatistics(of: index, in: 0))
      let output = UnsafeBufferPointer(
        start: pass.output(of: index), count: node.shape.count * microbatch.images)
      if !output.allSatisfy(\.isFinite) { return node.name }
    }
    return nil
  }

  private func forward(_ wave: LaneWork.Wave) {
    for (index, node) in network.nodes.enumerated() {
      if node.statistics.isEmpty {
        for pass in inFlight.prefix(wave.sums.run.count) { pass.forward(node: index) }
        continue
      }
      climb(wave, .statistics(node: index)) { pass, slot in
        pass.forward(node: index, batchStatistics: slots.batchStatistics(of: index, in: slot))
        let weight = Float(pass.images)
        let sums = slots.floats(of: .statistics(node: index), in: slot)
        for position in sums.indices { sums[position] *= weight }
      }
    }
  }

  private func computeLoss(
    _ wave: LaneWork.Wave, batch: [LoadedMicrobatch], firstMicrobatch: Int, denominator: Float
  ) {
    climb(
      wave, .metrics,
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

  private func backward(_ wave: LaneWork.Wave) {
    for index in network.nodes.indices.reversed() {
      if network.nodes[index].parameters.isEmpty {
        for pass in inFlight.prefix(wave.sums.run.count) {
          pass.backward(node: index, parameterGradients: [])
        }
        continue
      }
      climb(wave, .parameters(node: index)) { pass, slot in
        pass.backward(node: index, parameterGradients: slots.parameterGradients(of: index, in: slot))
      }
    }
  }

  /// Computes the leaves of a wave one after the other and adds each up the tree as far as it goes.
  private func climb(
    _ wave: LaneWork.Wave, _ section: GradientSlots.Section, leaf: (MicrobatchInFlight, Int) -> Void
  ) {
    climb(wave, section, numbered: { _, pass, slot in leaf(pass, slot) })
  }

  private func climb(
    _ wave: LaneWork.Wave, _ section: GradientSlots.Section,
    numbered leaf: (Int, MicrobatchInFlight, Int) -> Void
  ) {
    for step in wave.sums.steps {
      switch step {
      case .leaf(let number, let slot):
        leaf(number, inFlight[number - wave.sums.run.lowerBound], wave.slot(slot))
      case .add(let source, let target):
        let sum = slots.floats(of: section, in: wave.slot(target))
        let term = slots.floats(of: section, in: wave.slot(source))
        reduction.add(sum.baseAddress, term.baseAddress, sum.count)
      }
    }
  }
}
