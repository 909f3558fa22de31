import CKernels
import Glibc
import Tensors

/// Turns mean gradients into new weights, by PyTorch's formulas or those of the papers, on slices of the flat
/// buffers: each rank updates only the slices that it owns (a piece of every bucket), and keeps the state of
/// those alone.
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
  /// Of each of `layout.parameters`.
  private let rules: [ParameterRule]
  private let kernels: InstructionSet

  package init(
    _ config: OptimizerConfig, rules: ParameterRules = .none, layout: FlatLayout, slices: [Range<Int>],
    kernels: InstructionSet
  ) {
    precondition(
      slices.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= layout.extent },
      "an optimizer's slices lie in 0 ..< \(layout.extent), got \(slices)")
    self.config = config
    self.layout = layout
    self.rules = layout.parameters.map { rules[$0.name] }
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
    case .sgd, .lars: config.momentum == 0 ? [] : ["momentum_buffer"]
    case .adam, .adamw, .lamb: ["exp_avg", "exp_avg_sq"]
    case .rmsprop:
      ["square_avg"] + (config.centered ? ["grad_avg"] : [])
        + (config.momentum == 0 ? [] : ["momentum_buffer"])
    }
  }

  /// Bytes of what this rank remembers.
  package var stateBytes: Int { state.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } }

  package var stateNames: [String] { Self.stateNames(of: config) }

  /// Updates the parameters in `range`, a part of a slice. `values` and `gradients` are the flat buffers, of
  /// which only `range` is touched; `gradients` holds the mean gradient. `stepNumber` counts from 1. The
  /// running statistics are left alone: see `RunningStatistics`.
  ///
  /// LARS and LAMB need the trust ratio of each of `layout.parameters` (1 where there is none), and LAMB's
  /// moments have taken in the gradients before: see `WeightUpdate`.
  package func step(
    values: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>, range: Range<Int>,
    learningRate: Double,
    stepNumber: Int, trust: [Double] = []
  ) {
    precondition(stepNumber > 0, "steps count from 1, got \(stepNumber)")
    for (index, parameter) in layout.parameters.enumerated() where parameter.range.overlaps(range) {
      let part = parameter.range.clamped(to: range)
      update(
        part, of: index, values: values + part.lowerBound, gradient: gradients + part.lowerBound,
        learningRate: learningRate * rules[index].rateScale, stepNumber: stepNumber - rules[index].firstStep,
        trust: trust.isEmpty ? 1 : trust[index])
    }
  }

  /// How strongly one of `layout.parameters` is pulled to zero: weight decay and L1.
  func penalties(of parameter: Int) -> (decay: Double, l1: Float) {
    let decays = layout.parameters[parameter].role == .weight || config.decayBiasesAndNorms
    return (
      rules[parameter].weightDecay ?? (decays ? config.weightDecay : 0), decays ? Float(config.l1) : 0
    )
  }

  /// Where the states of a part of a slice lie, by `stateNames`.
  package func states(of part: Range<Int>) -> States {
    guard let number = slices.firstIndex(where: { $0.contains(part.lowerBound) }),
      part.upperBound <= slices[number].upperBound
    else { preconditionFailure("an optimizer of \(slices) can't update \(part)") }
    return States(
      buffers: state, offset: offsets[number] + part.lowerBound - slices[number].lowerBound)
  }

  /// A place in each state; an array of them would be allocated for each part, by lanes.
  package struct States: RandomAccessCollection {
    fileprivate let buffers: [FloatBuffer]
    fileprivate let offset: Int

    package var startIndex: Int { 0 }
    package var endIndex: Int { buffers.count }
    package subscript(number: Int) -> UnsafeMutablePointer<Float> { buffers[number].pointer + offset }
  }

  private func update(
    _ part: Range<Int>, of parameter: Int, values: UnsafeMutablePointer<Float>,
    gradient: UnsafePointer<Float>, learningRate: Double, stepNumber: Int, trust: Double
  ) {
    let table = cnn_optimizer_kernels_for(kernels.kernelTable).pointee
    let layerwise = cnn_layerwise_kernels_for(kernels.kernelTable).pointee
    let states = states(of: part)
    let (decay, l1) = penalties(of: parameter)
    precondition(stepNumber > 0, "\(layout.parameters[parameter].name) is frozen until a later step")
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
    case .lars:
      let settings = cnn_lars(
        rate: Float(learningRate * trust), momentum: Float(config.momentum), weight_decay: Float(decay),
        l1: l1)
      layerwise.lars(values, gradient, states.first, settings, part.count)
    case .lamb:
      layerwise.lamb(
        values, states[0], states[1], lamb(parameter, stepNumber: stepNumber), Float(learningRate * trust),
        part.count)
    }
  }

  private func lamb(_ parameter: Int, stepNumber: Int) -> cnn_lamb {
    let (decay, l1) = penalties(of: parameter)
    return cnn_lamb(
      weight_decay: Float(decay), l1: l1, one_minus_beta1: Float(1 - config.beta1),
      beta2: Float(config.beta2),
      one_minus_beta2: Float(1 - config.beta2), correction1: Float(1 - pow(config.beta1, Double(stepNumber))),
      root_correction2: Float((1 - pow(config.beta2, Double(stepNumber))).squareRoot()),
      epsilon: Float(config.epsilon))
  }

  /// LAMB's first half: the moments of `part`, which lies in one of `layout.parameters`, take in its gradient. Σ of the
  /// squares of the weights and of their update before the rate.
  func takeMoments(
    _ part: Range<Int>, of parameter: Int, values: UnsafePointer<Float>,
    gradients: UnsafePointer<Float>, stepNumber: Int
  ) -> (weights: Double, update: Double) {
    precondition(config.name == .lamb, "moments apart from the update are lamb's, not \(config.name)'s")
    let states = states(of: part)
    var sums = (0.0, 0.0)
    withUnsafeMutableBytes(of: &sums) { sums in
      cnn_layerwise_kernels_for(kernels.kernelTable).pointee.lamb_moments(
        values + part.lowerBound, gradients + part.lowerBound, states[0], states[1],
        lamb(parameter, stepNumber: stepNumber - rules[parameter].firstStep),
        sums.assumingMemoryBound(to: Double.self).baseAddress,
        part.count)
    }
    return (sums.0, sums.1)
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
