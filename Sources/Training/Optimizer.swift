import CKernels
import Glibc
import Tensors

/// Turns mean gradients into new weights, by PyTorch's formulas, on slices of the flat buffers: each
/// rank updates only the slices that it owns (a piece of every bucket), and keeps the state of those alone.
///
/// Every element is worked out for itself, so neither the slices nor the instruction set change a bit.
/// The buffers' ownership rule holds (`FloatBuffer`): threads may update disjoint ranges side by side.
package final class Optimizer: Sendable {
  package let config: OptimizerConfig
  /// The floats of the flat buffers that this optimizer updates.
  package let slices: [Range<Int>]
  private let layout: FlatLayout
  /// One buffer for each of `stateNames`: the state of each slice, one after another.
  private let state: [FloatBuffer]
  /// Where the state of each slice begins.
  private let offsets: [Int]
  private let kernels: InstructionSet

  package init(_ config: OptimizerConfig, layout: FlatLayout, slices: [Range<Int>], kernels: InstructionSet) {
    precondition(
      slices.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= layout.extent },
      "an optimizer's slices lie in 0 ..< \(layout.extent), got \(slices)")
    self.config = config
    self.layout = layout
    self.slices = slices
    self.kernels = kernels
    var end = 0
    offsets = slices.map { slice in
      defer { end += slice.count }
      return end
    }
    let count = end
    state = Self.stateNames(of: config).map { _ in FloatBuffer(count: count) }
  }

  /// What the optimizer remembers of each weight, by PyTorch's names.
  package static func stateNames(of config: OptimizerConfig) -> [String] {
    switch config.name {
    case .sgd: config.momentum == 0 ? [] : ["momentum_buffer"]
    case .adam, .adamw: ["exp_avg", "exp_avg_sq"]
    case .rmsprop:
      ["square_avg"] + (config.centered ? ["grad_avg"] : [])
        + (config.momentum == 0 ? [] : ["momentum_buffer"])
    }
  }

  package var stateNames: [String] { Self.stateNames(of: config) }

  /// Updates all slices; see below.
  package func step(
    values: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>, learningRate: Double,
    stepNumber: Int
  ) {
    for slice in slices {
      step(
        values: values, gradients: gradients, range: slice, learningRate: learningRate,
        stepNumber: stepNumber)
    }
  }

  /// Updates the parameters in `range`, a part of a slice. `values` and `gradients` are the flat buffers, of
  /// which only `range` is touched; `gradients` holds the mean gradient. `stepNumber` counts from 1. The
  /// running statistics are left alone: see `RunningStatistics`.
  package func step(
    values: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>, range: Range<Int>,
    learningRate: Double, stepNumber: Int
  ) {
    guard !range.isEmpty else { return }
    guard let number = slices.firstIndex(where: { $0.contains(range.lowerBound) }),
      range.upperBound <= slices[number].upperBound
    else { preconditionFailure("an optimizer of \(slices) can't update \(range)") }
    precondition(stepNumber > 0, "steps count from 1, got \(stepNumber)")
    let shift = offsets[number] - slices[number].lowerBound
    for parameter in layout.parameters where parameter.range.overlaps(range) {
      let part = parameter.range.clamped(to: range)
      let decays = parameter.role == .weight || config.decayBiasesAndNorms
      update(
        part, states: state.map { $0.pointer + part.lowerBound + shift }, values: values + part.lowerBound,
        gradient: gradients + part.lowerBound, decays: decays, learningRate: learningRate,
        stepNumber: stepNumber)
    }
  }

  private func update(
    _ part: Range<Int>, states: [UnsafeMutablePointer<Float>], values: UnsafeMutablePointer<Float>,
    gradient: UnsafePointer<Float>, decays: Bool, learningRate: Double, stepNumber: Int
  ) {
    let table = cnn_optimizer_kernels_for(kernels.kernelTable).pointee
    let decay = decays ? config.weightDecay : 0
    let l1 = Float(decays ? config.l1 : 0)
    switch config.name {
    case .sgd:
      let settings = cnn_sgd(
        learning_rate: Float(learningRate), momentum: Float(config.momentum), weight_decay: Float(decay),
        l1: l1,
        nesterov: config.nesterov ? 1 : 0)
      table.sgd(values, gradient, states.first, settings, part.count)
    case .adam, .adamw:
      let decoupled = config.name == .adamw
      let correction1 = 1 - pow(config.beta1, Double(stepNumber))
      let correction2 = 1 - pow(config.beta2, Double(stepNumber))
      let settings = cnn_adam(
        decay: Float(decoupled ? 1 - learningRate * decay : 1), weight_decay: Float(decoupled ? 0 : decay),
        l1: l1,
        one_minus_beta1: Float(1 - config.beta1), beta2: Float(config.beta2),
        one_minus_beta2: Float(1 - config.beta2), root_correction2: Float(correction2.squareRoot()),
        epsilon: Float(config.epsilon), step_size: Float(learningRate / correction1))
      table.adam(values, gradient, states[0], states[1], settings, part.count)
    case .rmsprop:
      let settings = cnn_rmsprop(
        learning_rate: Float(learningRate), momentum: Float(config.momentum), weight_decay: Float(decay),
        l1: l1,
        alpha: Float(config.alpha), one_minus_alpha: Float(1 - config.alpha), epsilon: Float(config.epsilon))
      let mean = config.centered ? states[1] : nil
      let buffer = config.momentum == 0 ? nil : states.last
      table.rmsprop(values, gradient, states[0], mean, buffer, settings, part.count)
    }
  }
}

extension Optimizer {
  /// The state of the slices, one after another: an array of floats for each of `stateNames`.
  package var stateOfSlices: [[Float]] { state.map(\.values) }

  /// Takes the slices' part of whole states: an array of `layout.extent` floats for each of `stateNames`.
  package func load(state whole: [[Float]]) {
    precondition(
      whole.count == state.count && whole.allSatisfy { $0.count == layout.extent },
      "\(config.name) expects \(state.count) states of \(layout.extent) floats, got \(whole.map(\.count))")
    for (buffer, values) in zip(state, whole) {
      values.withUnsafeBufferPointer { values in
        guard let base = values.baseAddress else { return }
        for (slice, offset) in zip(slices, offsets) {
          (buffer.pointer + offset).update(from: base + slice.lowerBound, count: slice.count)
        }
      }
    }
  }
}

/// The running mean and variance of batch norm, which follow the batches' own.
package enum RunningStatistics {
  /// running ← (1 − m) · running + m · sum / images for the statistics that lie in `slice`. `values` and
  /// `sums` are the flat buffers; `sums` holds Σ over microbatches of images · statistic, `images` the
  /// images of the step, and `momenta` m for each of `layout.statistics`.
  package static func update(
    values: UnsafeMutablePointer<Float>, sums: UnsafePointer<Float>, images: Int, momenta: [Double],
    layout: FlatLayout, slice: Range<Int>, kernels: InstructionSet
  ) {
    precondition(
      momenta.count == layout.statistics.count,
      "\(layout.statistics.count) statistics expect as many momenta, got \(momenta.count)")
    let table = cnn_optimizer_kernels_for(kernels.kernelTable).pointee
    for (statistic, momentum) in zip(layout.statistics, momenta) where statistic.range.overlaps(slice) {
      let part = statistic.range.clamped(to: slice)
      table.running(values + part.lowerBound, sums + part.lowerBound, Double(images), momentum, part.count)
    }
  }
}
