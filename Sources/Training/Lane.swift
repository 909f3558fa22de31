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
  /// nil in a lane that never has a microbatch.
  private let inFlight: WaveInFlight?
  private let slots: GradientSlots
  private let loss: SoftmaxCrossEntropy
  private let reduction: cnn_reduction_kernels
  /// nil where nobody wants to know.
  let times: OperatorTimes?
  /// The microbatch, by number in the step, whose loss was not a finite number.
  private(set) var notFinite: Int?

  /// - Parameters:
  ///   - plan: for the greatest wave of this rank's lanes; nil where none has a microbatch.
  ///   - partials: the most maximal tree nodes that a step's waves give.
  init(
    network: Network, plan: Plan?, values: FloatBuffer, prepared: PreparedWeights, partials: Int,
    stackDepth: Int, loss: SoftmaxCrossEntropy, kernels: InstructionSet, timed: Bool
  ) {
    self.network = network
    inFlight = plan.map { WaveInFlight($0, values: values, prepared: prepared) }
    slots = GradientSlots(network: network, partials: partials, stackDepth: stackDepth)
    self.loss = loss
    times = timed ? OperatorTimes(nodes: network.nodes.count) : nil
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
    guard let inFlight else {
      precondition(work.waves.isEmpty, "a lane without a plan can't compute \(work.waves.count) waves")
      return
    }
    for wave in work.waves {
      let run = wave.sums.run
      inFlight.load(count: run.count) { batch[run.lowerBound + $0 - firstMicrobatch].part }
      forward(wave, inFlight)
      computeLoss(wave, inFlight, batch: batch, firstMicrobatch: firstMicrobatch, denominator: denominator)
      backward(wave, inFlight)
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
    guard let inFlight else { return nil }
    inFlight.load([microbatch.part])
    for (index, node) in network.nodes.enumerated() {
      inFlight.forward(node: index)
      if !inFlight.isFinite(node: index) { return node.name }
    }
    return nil
  }

  private func forward(_ wave: LaneWork.Wave, _ inFlight: WaveInFlight) {
    for (index, node) in network.nodes.enumerated() {
      timed(index, .forward) { inFlight.forward(node: index) }
      if node.statistics.isEmpty { continue }
      timed(index, .statistics) {
        climb(wave, .statistics(node: index)) { microbatch, slot in
          inFlight.batchStatistics(
            node: index, microbatch: microbatch, into: slots.batchStatistics(of: index, in: slot))
          let weight = Float(inFlight.images(of: microbatch))
          let sums = slots.floats(of: .statistics(node: index), in: slot)
          for position in sums.indices { sums[position] *= weight }
        }
      }
    }
  }

  private func computeLoss(
    _ wave: LaneWork.Wave, _ inFlight: WaveInFlight, batch: [LoadedMicrobatch], firstMicrobatch: Int,
    denominator: Float
  ) {
    climb(wave, .metrics) { microbatch, slot in
      let number = wave.sums.run.lowerBound + microbatch
      let sums = inFlight.computeLoss(
        loss, microbatch: microbatch, labels: batch[number - firstMicrobatch].labels, denominator: denominator
      )
      let metrics = slots.floats(of: .metrics, in: slot)
      metrics[0] = Float(sums.loss)
      if !metrics[0].isFinite && notFinite == nil { notFinite = number }
      metrics[1] = Float(sums.correct)
    }
  }

  private func backward(_ wave: LaneWork.Wave, _ inFlight: WaveInFlight) {
    for index in network.nodes.indices.reversed() {
      if !network.nodes[index].parameters.isEmpty {
        timed(index, .parameters) {
          climb(wave, .parameters(node: index)) { microbatch, slot in
            inFlight.backwardParameters(
              node: index, microbatch: microbatch, into: slots.parameterGradients(of: index, in: slot))
          }
        }
      }
      timed(index, .data) { inFlight.backwardData(node: index) }
    }
  }

  private func timed(_ node: Int, _ pass: OperatorTimes.Pass, _ body: () -> Void) {
    guard let times else { return body() }
    times.measure(node, pass, body)
  }

  /// Computes the leaves of a wave one after the other and adds each up the tree as far as it goes.
  /// `leaf` hears the microbatch's number in the wave.
  private func climb(
    _ wave: LaneWork.Wave, _ section: GradientSlots.Section, leaf: (_ microbatch: Int, _ slot: Int) -> Void
  ) {
    for step in wave.sums.steps {
      switch step {
      case .leaf(let number, let slot):
        leaf(number - wave.sums.run.lowerBound, wave.slot(slot))
      case .add(let source, let target):
        let sum = slots.floats(of: section, in: wave.slot(target))
        let term = slots.floats(of: section, in: wave.slot(source))
        reduction.add(sum.baseAddress, term.baseAddress, sum.count)
      }
    }
  }
}
