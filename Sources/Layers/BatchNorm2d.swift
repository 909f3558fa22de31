import CKernels
import Tensors

/// Batch normalisation of each channel (Ioffe & Szegedy 2015, arXiv:1502.03167):
///
/// `y = (x − μ) · 1/√(σ² + ε) · weight + bias`, in training with mean μ and biased variance σ² of the
/// channel's N·H·W values in the microbatch, or in the global batch of the step (`statisticsOver`), in
/// inference with the running statistics.
///
/// For x (N, C, H, W); weight, bias, running_mean and running_var (C). One value per channel has no
/// variance: see `smallestMicrobatch`. A frozen one may norm by the running statistics in training too
/// (`learning`): then `dx = g · weight · 1/√(σ² + ε)`, since they don't depend on x.
package struct BatchNorm2d: InputGradientInParts {
  package var epsilon: Float
  /// How far a step moves the running statistics, once the statistics of its microbatches are averaged:
  /// running ← (1 − momentum) · running + momentum · batch. The optimizer's kernels do it.
  package var momentum: Float
  /// Whether weight and bias are learned; otherwise they are 1 and 0.
  package var affine: Bool
  package var following: Following
  package var statisticsOver: BatchStatistics
  package var learning = Learning.all

  /// What training changes of it.
  package enum Learning: Sendable, Equatable {
    case all
    /// Weight and bias are frozen.
    case statistics
    /// And so are the running statistics, which norm the batch in the place of its own.
    case nothing
  }

  /// Whether it asks for what other microbatches know.
  package var pools: Bool { statisticsOver == .globalBatch && learning != .nothing }

  package init(
    epsilon: Float = 1e-5, momentum: Float = 0.1, affine: Bool = true, following: Following = .nothing,
    statisticsOver: BatchStatistics = .microbatch
  ) {
    self.epsilon = epsilon
    self.momentum = momentum
    self.affine = affine
    self.following = following
    self.statisticsOver = statisticsOver
  }

  package var kind: String { "BatchNorm2d" }
  package var inputCount: Int? { following.adds ? 2 : 1 }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    let x = inputs[0]
    switch following {
    case .nothing, .relu, .relu6, .hardswish, .silu: return x
    case .add, .addThenReLU:
      guard inputs.count == 2 && inputs[1] == x else {
        throw LayerError(
          "BatchNorm2d with a residual expects 2 inputs of equal shape, got "
            + inputs.map(\.description).joined(separator: " and "))
      }
      return x
    case .reluThenMaxPool:
      guard x.height > 1 && x.width > 1 else {
        throw LayerError(
          "BatchNorm2d with max pooling expects at least (2, 2), got (\(x.height), \(x.width))")
      }
      return FeatureShape(channels: x.channels, height: x.height / 2, width: x.width / 2)
    }
  }

  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    guard affine else { return [] }
    let shape: Shape = [inputs[0].channels]
    return [
      ArrayDeclaration("weight", shape, .normScale, .plain, .ones),
      ArrayDeclaration("bias", shape, .normShift, .plain, .zeros),
    ]
  }

  package func statistics(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    let shape: Shape = [inputs[0].channels]
    return [
      ArrayDeclaration("running_mean", shape, .runningMean, .plain, .zeros),
      ArrayDeclaration("running_var", shape, .runningVariance, .plain, .ones),
    ]
  }

  /// Saved: statistics and, by backward, the means of its sums, per channel (`CNN_NORM_ROWS`); behind them the
  /// record that is pooled, where statistics are over the global batch. The gate of a ReLU that follows at once
  /// is found again from x.
  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.savedPerMicrobatch = savedCount(inputs[0])
    needs.backwardReadsInput = true
    needs.backwardReadsOutput = following == .addThenReLU || following == .reluThenMaxPool
    needs.worksInPlace = following != .reluThenMaxPool
    needs.addsToInputGradient = following != .reluThenMaxPool
    needs.leavesInputGradient = !following.adds
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count }

  /// PyTorch: "Expected more than 1 value per channel when training".
  package func smallestMicrobatch(for inputs: [FeatureShape]) -> Int {
    statisticsOver == .microbatch ? smallestBatch(for: inputs) : 1
  }

  package func smallestBatch(for inputs: [FeatureShape]) -> Int {
    inputs[0].area == 1 && learning != .nothing ? 2 : 1
  }

  package func forward(_ pass: borrowing ForwardPass) {
    let kernels = cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee
    let x = pass.inputShapes[0]
    let residual = pass.inputs.count > 1 ? pass.inputs[1] : nil
    var affine = affine(pass.parameters)
    guard pass.mode == .training, learning != .nothing else {
      var shape = shape(x, n: pass.wave.images, images: 0..<pass.wave.images)
      kernels.forward_inference(
        pass.output, pass.inputs[0], residual, pass.statistics[0], pass.statistics[1], &affine, &shape)
      if pass.mode == .training { saveRunningStatistics(pass) }
      return
    }
    if pools && !pass.isRepeated { poolMoments(pass) }
    for (microbatch, images) in pass.wave.microbatches.enumerated() {
      var shape = shape(x, n: pass.wave.images, images: images)
      let saved = pass.saved + microbatch * savedCount(x)
      switch statisticsOver {
      case .microbatch:
        precondition(
          images.count * x.area > 1, "BatchNorm2d expects more than 1 value per channel when training")
        kernels.forward_training(pass.output, saved, pass.inputs[0], residual, &affine, &shape)
      case .globalBatch:
        let record = record(saved, x)
        kernels.forward_pooled(
          pass.output, saved, record, record[2 * 16 * x.blocks], pass.inputs[0], residual, &affine, &shape)
      }
    }
  }

  /// Leaves for backward what the images were normed by, the same for all microbatches.
  private func saveRunningStatistics(_ pass: borrowing ForwardPass) {
    let x = pass.inputShapes[0]
    let width = 16 * x.blocks
    for microbatch in pass.wave.microbatches.indices {
      let saved = pass.saved + microbatch * savedCount(x)
      (saved + CNN_NORM_MEAN * width).update(from: pass.statistics[0], count: width)
      (saved + CNN_NORM_UNBIASED * width).update(from: pass.statistics[1], count: width)
      for channel in 0..<width {
        // As the kernel spells it: backward finds the gates of a ReLU again from its bits.
        let deviation = (Double(pass.statistics[1][channel]) + Double(epsilon)).squareRoot()
        saved[CNN_NORM_INVERSE * width + channel] = channel < x.channels ? Float(1 / deviation) : 0
      }
    }
  }

  /// Leaves the moments of the global batch in the records of the wave's microbatches.
  private func poolMoments(_ pass: borrowing ForwardPass) {
    let x = pass.inputShapes[0]
    for (microbatch, images) in pass.wave.microbatches.enumerated() {
      let record = record(pass.saved + microbatch * savedCount(x), x)
      var shape = shape(x, n: pass.wave.images, images: images)
      cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.moments(record, pass.inputs[0], &shape)
      record[2 * 16 * x.blocks] = Double(images.count * x.area)
    }
    pool(pass.saved, pass.wave.microbatches.count, for: x, by: .moments, pass.pooling)
  }

  /// Pools the records of `count` microbatches behind what is saved of them.
  private func pool(
    _ saved: UnsafeMutablePointer<Float>, _ count: Int, for x: FeatureShape, by rule: PoolingRule,
    _ pooling: (any BatchPooling)?
  ) {
    guard let pooling else {
      preconditionFailure("BatchNorm2d over the global batch expects somebody who pools it")
    }
    withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<Double>.self, capacity: count) { records in
      for microbatch in 0..<count {
        records.initializeElement(at: microbatch, to: record(saved + microbatch * savedCount(x), x))
      }
      pooling.pool(PooledRecords(records), channels: 16 * x.blocks, by: rule)
    }
  }

  /// What whoever has no microbatch of a step must do for the others, in forward and in backward.
  package func takePart(in pooling: any BatchPooling, inputs: [FeatureShape], by rule: PoolingRule) {
    guard pools else { return }
    pooling.pool(PooledRecords(start: nil, count: 0), channels: 16 * inputs[0].blocks, by: rule)
  }

  /// Mean and unbiased variance (of n − 1) of the microbatch, or of the global batch.
  package func batchStatistics(
    _ pass: borrowing ForwardPass, microbatch: Int, into statistics: [UnsafeMutablePointer<Float>]
  ) {
    let x = pass.inputShapes[0]
    let saved = pass.saved + microbatch * savedCount(x)
    for (array, row) in zip(statistics, [CNN_NORM_MEAN, CNN_NORM_UNBIASED]) {
      array.update(from: saved + row * 16 * x.blocks, count: 16 * x.blocks)
    }
  }

  /// With g = dy where the gate of the ReLU is open (pooled: at the winners), 0 elsewhere,
  /// x̂ = (x − μ)/√(σ² + ε) and n = N·H·W: `dbias = Σ g`, `dweight = Σ g·x̂` over the microbatch. Leaves their
  /// means for `backwardData`, or what is to be pooled, and g itself where the gradient of the residual goes. Where
  /// nothing is pooled dx follows at once, block by block.
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    if completesAtOnce, let dx = pass.inputGradients[0] {
      let x = pass.inputShapes[0]
      var affine = affine(pass.parameters)
      var shape = shape(x, n: pass.wave.images, images: pass.wave.microbatches[microbatch])
      shape.adds = pass.addsToInputGradient
      cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.backward(
        dx, gradients[0], gradients[1], pass.inputGradients.count > 1 ? pass.inputGradients[1] : nil,
        pass.saved + microbatch * savedCount(x), pass.outputGradient, pass.inputs[0], pass.output, &affine,
        &shape)
      return
    }
    sums(pass, microbatch, dWeight: gradients[0], dBias: gradients[1])
  }

  /// `dx = (g − dbias/n − x̂ · dweight/n) · weight/√(σ² + ε)`, `dr = g`, with the sums and the n of the images
  /// that the statistics are over.
  package func backwardData(_ pass: borrowing BackwardPass) {
    if completesAtOnce { return }
    let x = pass.inputShapes[0]
    let dResidual = pass.inputGradients.count > 1 ? pass.inputGradients[1] : nil
    // Nobody has asked for the gradients of weight and bias, but dx hangs on their sums.
    if learning == .nothing ? dResidual != nil : (!affine || learning == .statistics) {
      for microbatch in pass.wave.microbatches.indices {
        sums(pass, microbatch, dWeight: nil, dBias: nil)
      }
    }
    if pools { poolSums(pass) }
    if learning == .nothing { forgetSums(pass) }
    for (microbatch, images) in pass.wave.microbatches.enumerated() {
      guard let dx = pass.inputGradients[0] else { continue }
      var affine = affine(pass.parameters)
      var shape = shape(x, n: pass.wave.images, images: images)
      shape.adds = pass.addsToInputGradient
      cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.backward_data(
        dx, pass.saved + microbatch * savedCount(x),
        dResidual.map { UnsafePointer($0) } ?? pass.outputGradient,
        pass.inputs[0], dResidual == nil ? pass.output : nil, &affine, &shape)
    }
  }

  /// As `backwardData`, which has left the sums.
  package func writeInputGradient(
    _ pass: borrowing BackwardPass, microbatch: Int, images: Range<Int>, into dx: UnsafeMutablePointer<Float>
  ) {
    let x = pass.inputShapes[0]
    var affine = affine(pass.parameters)
    var shape = shape(x, n: pass.wave.images, images: images)
    shape.dx_alone = true
    cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.backward_data(
      dx, pass.saved + microbatch * savedCount(x), pass.outputGradient, pass.inputs[0], pass.output, &affine,
      &shape)
  }

  /// Whether `backwardParameters` is called and knows all that dx of a microbatch hangs on.
  private var completesAtOnce: Bool { affine && learning == .all && !pools }

  /// Statistics that don't depend on x take nothing off dx.
  private func forgetSums(_ pass: borrowing BackwardPass) {
    let x = pass.inputShapes[0]
    for microbatch in pass.wave.microbatches.indices {
      let saved = pass.saved + microbatch * savedCount(x)
      for row in [CNN_NORM_OFFSET, CNN_NORM_SLOPE] {
        (saved + row * 16 * x.blocks).update(repeating: 0, count: 16 * x.blocks)
      }
    }
  }

  /// Leaves the means of the global batch's sums where `backward_data` reads them.
  private func poolSums(_ pass: borrowing BackwardPass) {
    let x = pass.inputShapes[0]
    pool(pass.saved, pass.wave.microbatches.count, for: x, by: .sums, pass.pooling)
    for (microbatch, images) in pass.wave.microbatches.enumerated() {
      let saved = pass.saved + microbatch * savedCount(x)
      let record = record(saved, x)
      var shape = shape(x, n: pass.wave.images, images: images)
      cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.pooled_line(
        saved, record, record[2 * 16 * x.blocks], &shape)
    }
  }

  private func sums(
    _ pass: borrowing BackwardPass, _ microbatch: Int, dWeight: UnsafeMutablePointer<Float>?,
    dBias: UnsafeMutablePointer<Float>?
  ) {
    let x = pass.inputShapes[0]
    var affine = affine(pass.parameters)
    let images = pass.wave.microbatches[microbatch]
    var shape = shape(x, n: pass.wave.images, images: images)
    let saved = pass.saved + microbatch * savedCount(x)
    let pooled = pools ? record(saved, x) : nil
    cnn_batch_norm_kernels_for(pass.kernels.kernelTable).pointee.backward_sums(
      dWeight, dBias, pass.inputGradients.count > 1 ? pass.inputGradients[1] : nil, saved, pooled,
      pass.outputGradient, pass.inputs[0], pass.output, &affine, &shape)
    pooled?[2 * 16 * x.blocks] = Double(images.count * x.area)
  }

  private func savedCount(_ x: FeatureShape) -> Int {
    CNN_NORM_ROWS * 16 * x.blocks
      + (pools ? 2 * PoolingRule.recordCount(channels: 16 * x.blocks) : 0)
  }

  /// A microbatch's record, behind its rows.
  private func record(
    _ saved: UnsafeMutablePointer<Float>, _ x: FeatureShape
  ) -> UnsafeMutablePointer<Double> {
    UnsafeMutableRawPointer(saved + CNN_NORM_ROWS * 16 * x.blocks)
      .bindMemory(to: Double.self, capacity: PoolingRule.recordCount(channels: 16 * x.blocks))
  }

  private func affine(_ parameters: [UnsafePointer<Float>]) -> cnn_batch_norm_affine {
    affine ? cnn_batch_norm_affine(weight: parameters[0], bias: parameters[1]) : cnn_batch_norm_affine()
  }

  private func shape(_ x: FeatureShape, n: Int, images: Range<Int>) -> cnn_batch_norm_shape {
    let after =
      switch following {
      case .nothing: CNN_AFTER_NORM_NOTHING
      case .relu: CNN_AFTER_NORM_RELU
      case .relu6: CNN_AFTER_NORM_RELU6
      case .hardswish: CNN_AFTER_NORM_HARDSWISH
      case .silu: CNN_AFTER_NORM_SILU
      case .add: CNN_AFTER_NORM_ADD
      case .addThenReLU: CNN_AFTER_NORM_ADD_RELU
      case .reluThenMaxPool: CNN_AFTER_NORM_RELU_MAX_POOL
      }
    return cnn_batch_norm_shape(
      x: cnn_blocked(x, n: n, images: images), ih: x.height, iw: x.width, epsilon: epsilon, after: after,
      adds: false, dx_alone: false)
  }
}
