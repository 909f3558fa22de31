import CKernels
import Collectives
import Tensors

/// A rank's update of its slice by the mean gradients of a step: clipping, the trust ratios of LARS and
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
  /// A flat buffer whose slice of this rank follows the values; nil where no average is kept. `gather`
  /// fills in the slices of the others.
  package let averages: FloatBuffer?
  private let config: OptimizerConfig
  private let layout: FlatLayout
  private let averageShare: Float
  private let team: ThreadTeam
  private let norms: LayerNorms
  private let shares: [Range<Int>]
  private let kernels: cnn_layerwise_kernels

  /// - Parameters:
  ///   - slice: what this rank owns of the flat buffers, from a chunk border.
  ///   - values: parameters and running statistics to begin with; an average begins as them.
  package init(
    _ config: OptimizerConfig, averageDecay: Double = 0, layout: FlatLayout, slice: Range<Int>,
    values: FloatBuffer, communicator: Communicator, team: ThreadTeam, kernels: InstructionSet
  ) {
    self.config = config
    self.layout = layout
    self.team = team
    optimizer = Optimizer(config, layout: layout, slice: slice, kernels: kernels)
    averageShare = Float(1 - averageDecay)
    averages = averageDecay > 0 ? FloatBuffer(count: values.count) : nil
    averages?.pointer.update(from: values.pointer, count: layout.extent)
    shares = (0..<team.count).map { ChunkShare.of(slice, member: $0, of: team.count) }
    norms = LayerNorms(layout: layout, shares: shares, communicator: communicator)
    self.kernels = cnn_layerwise_kernels_for(kernels.kernelTable).pointee
  }

  /// Updates the parameters of this rank's slice. `gradients` is a flat buffer whose slice holds the mean
  /// gradients; clipping changes it. `stepNumber` counts from 1. Collective where norms are asked for.
  package func apply(
    values: UnsafeMutablePointer<Float>, gradients: UnsafeMutablePointer<Float>, learningRate: Double,
    stepNumber: Int
  ) throws {
    // The pointers' ownership rule is the buffers': each lane has its own share of the slice.
    nonisolated(unsafe) let (values, gradients) = (values, gradients)
    if config.clipValue > 0 {
      let limit = Float(config.clipValue)
      eachPart { [kernels] _, part in kernels.clamp(gradients + part.lowerBound, limit, part.count) }
    }
    let trust = try trustRatios(values: values, gradients: gradients, stepNumber: stepNumber)
    team.run { [self] lane in
      optimizer.step(
        values: values, gradients: gradients, range: shares[lane], learningRate: learningRate,
        stepNumber: stepNumber, trust: trust)
    }
  }

  /// The average follows the values of this rank's slice, running statistics included.
  package func followValues(_ values: UnsafePointer<Float>) {
    guard let averages else { return }
    nonisolated(unsafe) let values = values
    team.run { [self] lane in
      let part = shares[lane]
      kernels.follow(averages.pointer + part.lowerBound, values + part.lowerBound, averageShare, part.count)
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
        eachPart { [kernels] _, part in kernels.scale(gradients + part.lowerBound, scale, part.count) }
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
          segment.range, of: layout.parameters[segment.array], values: values, gradients: gradients,
          stepNumber: stepNumber)
        return (sums.weights, sums.update)
      }
      return ratios { weights, update, _ in weights / update }
    }
  }

  /// The trust ratio of each parameter, from the norms last measured: ‖w‖, ‖movement‖, weight decay.
  private func ratios(_ ratio: (Double, Double, Double) -> Double) -> [Double] {
    zip(layout.parameters, zip(norms.squares(of: .weights), norms.squares(of: .movement))).map {
      parameter, squares in
      guard parameter.role == .weight || config.adaptBiasesAndNorms, squares.0 > 0, squares.1 > 0 else {
        return 1
      }
      return ratio(squares.0.squareRoot(), squares.1.squareRoot(), optimizer.penalties(of: parameter).decay)
    }
  }

  /// Calls `body` on every lane with each of the parameters' parts in the lane's share.
  private func eachPart(_ body: @escaping @Sendable (FlatLayout.Entry, Range<Int>) -> Void) {
    team.run { [self] lane in
      for parameter in layout.parameters where parameter.range.overlaps(shares[lane]) {
        body(parameter, parameter.range.clamped(to: shares[lane]))
      }
    }
  }
}

/// How members of a team share out a range of the flat buffers.
enum ChunkShare {
  /// The part of `member` of a range that begins on a chunk border, in whole chunks.
  static func of(_ range: Range<Int>, member: Int, of members: Int) -> Range<Int> {
    let chunks = (range.count + FlatLayout.chunk - 1) / FlatLayout.chunk
    func border(_ member: Int) -> Int {
      min(range.lowerBound + chunks * member / members * FlatLayout.chunk, range.upperBound)
    }
    return border(member)..<border(member + 1)
  }
}
