import CKernels
import Collectives
import Tensors

/// A rank's update of the slices that it owns by the mean gradients of a step: clipping, the trust ratios of LARS and
/// LAMB, the optimizer, and the moving average that may follow the weights.
///
/// Clipping shortens the gradient g of all arrays together: first every element to ±`clip_value`, then
/// g ← g · min(1, clip_norm / (‖g‖ + 1e-6)), as PyTorch's `clip_grad_value_` and `clip_grad_norm_`.
/// The trust ratio of an array w with weight decay λ is
/// - LARS (You, Gitman & Ginsburg, arXiv:1708.03888): trust_coefficient · ‖w‖ / (‖g‖ + λ‖w‖),
/// - LAMB (You et al., arXiv:1904.00962, with φ(x) = x): ‖w‖ / ‖u‖ for Adam's update u with λ · w in it,
///
/// and 1 where a norm is zero, and for biases and norms unless `adapt_biases_and_norms`.
package final class WeightUpdate: @unchecked Sendable {
  package let optimizer: Optimizer
  /// A flat buffer whose slices of this rank follow the values; nil where no average is kept.
  package let averages: FloatBuffer?
  private let config: OptimizerConfig
  private let layout: FlatLayout
  private let averageShare: Float
  private let team: ThreadTeam
  private let norms: LayerNorms
  private let kernels: cnn_layerwise_kernels
  /// Of each of `layout.parameters`, in the step that was prepared; empty where all are 1.
  private var trust: [Double] = []

  /// - Parameters:
  ///   - slices: what this rank owns of the flat buffers, each from a chunk border.
  ///   - values: parameters and running statistics to begin with; an average begins as them.
  package init(
    _ config: OptimizerConfig, rules: ParameterRules = .none, averageDecay: Double = 0, layout: FlatLayout,
    slices: [Range<Int>], values: FloatBuffer, communicator: Communicator, team: ThreadTeam,
    kernels: InstructionSet
  ) {
    self.config = config
    self.layout = layout
    self.team = team
    optimizer = Optimizer(config, rules: rules, layout: layout, slices: slices, kernels: kernels)
    averageShare = Float(1 - averageDecay)
    averages = averageDecay > 0 ? FloatBuffer(count: values.count) : nil
    averages?.pointer.update(from: values.pointer, count: layout.extent)
    norms = LayerNorms(layout: layout, slices: slices, lanes: team.count, communicator: communicator)
    self.kernels = cnn_layerwise_kernels_for(kernels.kernelTable).pointee
  }

  /// Whether `prepare` must come before `apply`, when the sums of all slices are complete.
  package static func needsNorms(_ config: OptimizerConfig) -> Bool {
    config.clipNorm > 0 || config.name == .lars || config.name == .lamb
  }

  /// Clips the gradients and measures the norms that updates depend on. `gradients` is a flat buffer whose
  /// slices of this rank hold the mean gradients. `stepNumber` counts from 1. Collective.
  package func prepare(
    values: UnsafeMutablePointer<Float>, gradients: UnsafeMutablePointer<Float>, stepNumber: Int
  ) throws {
    // The pointers' ownership rule is the buffers': each lane has slices of its own.
    nonisolated(unsafe) let gradients = gradients
    if config.clipValue > 0 { eachPart { [self] in clamp($0, gradients) } }
    trust = try trustRatios(values: values, gradients: gradients, stepNumber: stepNumber)
  }

  /// Updates the parameters in a part of a slice.
  package func apply(
    _ part: Range<Int>, values: UnsafeMutablePointer<Float>, gradients: UnsafeMutablePointer<Float>,
    learningRate: Double, stepNumber: Int
  ) {
    if config.clipValue > 0, !Self.needsNorms(config) { clamp(part, gradients) }
    optimizer.step(
      values: values, gradients: gradients, range: part, learningRate: learningRate, stepNumber: stepNumber,
      trust: trust)
  }

  /// The average follows the values in a part of a slice, running statistics included.
  package func followValues(_ values: UnsafePointer<Float>, in part: Range<Int>) {
    guard let averages, !part.isEmpty else { return }
    kernels.follow(averages.pointer + part.lowerBound, values + part.lowerBound, averageShare, part.count)
  }

  private func clamp(_ part: Range<Int>, _ gradients: UnsafeMutablePointer<Float>) {
    for parameter in layout.parameters where parameter.range.overlaps(part) {
      let part = parameter.range.clamped(to: part)
      kernels.clamp(gradients + part.lowerBound, Float(config.clipValue), part.count)
    }
  }

  /// Clips the gradients by their norm, has LAMB take its moments, and measures what layers may trust.
  private func trustRatios(
    values: UnsafeMutablePointer<Float>, gradients: UnsafeMutablePointer<Float>, stepNumber: Int
  ) throws -> [Double] {
    nonisolated(unsafe) let (values, gradients) = (values, gradients)
    var factor = 1.0
    if config.clipNorm > 0 || config.name == .lars {
      try norms.measure(on: team) { [kernels] segment in
        let (first, count) = (segment.range.lowerBound, segment.range.count)
        return (kernels.squares(values + first, count), kernels.squares(gradients + first, count))
      }
    }
    if config.clipNorm > 0 {
      let norm = norms.squares(of: .movement).reduce(0, +).squareRoot()
      factor = Double(Float(min(1, config.clipNorm / (norm + 1e-6))))
      if factor < 1 {
        let scale = Float(factor)
        eachPart { [self] slice in
          for parameter in layout.parameters where parameter.range.overlaps(slice) {
            let part = parameter.range.clamped(to: slice)
            kernels.scale(gradients + part.lowerBound, scale, part.count)
          }
        }
      }
    }
    switch config.name {
    case .sgd, .adam, .adamw, .rmsprop: return []
    case .lars:
      return ratios { weights, gradient, decay in
        config.trustCoefficient * weights / (factor * gradient + decay * weights)
      }
    case .lamb:
      try norms.measure(on: team) { [self] segment in
        let sums = optimizer.takeMoments(
          segment.range, of: segment.array, values: values, gradients: gradients,
          stepNumber: stepNumber)
        return (sums.weights, sums.update)
      }
      return ratios { weights, update, _ in weights / update }
    }
  }

  /// The trust ratio of each parameter, from the norms last measured: ‖w‖, ‖movement‖, weight decay.
  private func ratios(_ ratio: (Double, Double, Double) -> Double) -> [Double] {
    zip(layout.parameters.enumerated(), zip(norms.squares(of: .weights), norms.squares(of: .movement))).map {
      parameter, squares in
      guard parameter.element.role == .weight || config.adaptBiasesAndNorms, squares.0 > 0, squares.1 > 0
      else {
        return 1
      }
      return ratio(
        squares.0.squareRoot(), squares.1.squareRoot(), optimizer.penalties(of: parameter.offset).decay)
    }
  }

  /// Calls `body` with each slice, on one of the lanes.
  private func eachPart(_ body: @escaping @Sendable (Range<Int>) -> Void) {
    team.run { [self] lane in
      for number in stride(from: lane, to: optimizer.slices.count, by: team.count) {
        body(optimizer.slices[number])
      }
    }
  }
}
