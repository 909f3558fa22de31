import CKernels
import Layers
import Tensors
import Training

/// The production kernels of this CPU.
package struct KernelEngine: LessonEngine {
  package var kernels = InstructionSet.detected

  package init() {}

  package func run(
    _ layer: any Layer, _ inputs: [Batch], parameters: [Tensor], statistics: [Tensor], mode: Mode,
    outputGradient: Batch?, epoch: Int
  ) throws(LayerError) -> LayerResult {
    let images = inputs[0].shape[0]
    let shapes = inputs.map(\.feature)
    let output = try layer.outputShape(of: shapes)
    let needs = layer.memory(for: shapes, images: images, kernels: kernels)
    func stored(_ arrays: [Tensor], _ declared: [ArrayDeclaration]) -> [FloatBuffer] {
      precondition(
        arrays.map(\.shape) == declared.map(\.shape),
        "\(layer.kind) expects arrays \(declared.map(\.shape)), got \(arrays.map(\.shape))")
      return zip(arrays, declared).map { array, declaration in
        let buffer = FloatBuffer(count: Self.room(declaration))
        declaration.storage.pack(array.values, array.shape, into: buffer.pointer)
        return buffer
      }
    }
    let x = zip(inputs, shapes).map { FloatBuffer(Self.blocked($0, $1)) }
    let (weights, kept) = (
      stored(parameters, layer.parameters(for: shapes)), stored(statistics, layer.statistics(for: shapes))
    )
    let prepared = FloatBuffer(count: needs.prepared)
    let saved = FloatBuffer(count: needs.savedPerMicrobatch + needs.savedPerImage * images)
    let scratch = FloatBuffer(count: needs.scratch)
    let y = FloatBuffer(count: images * output.blockedCount)
    let wave = Wave(
      microbatches: [0..<images], places: [BatchPlace(seed: 1, epoch: epoch, firstPosition: 0)])
    let pointers = weights.map { UnsafePointer($0.pointer) }
    layer.prepare(prepared.pointer, parameters: pointers, inputs: shapes, mode: .training, kernels: kernels)
    let pass = ForwardPass(
      wave: wave, mode: mode, kernels: kernels, inputShapes: shapes, outputShape: output,
      inputs: x.map { UnsafePointer($0.pointer) }, inputIsPlanar: false, output: y.pointer,
      parameters: pointers, statistics: kept.map { UnsafePointer($0.pointer) }, prepared: prepared.pointer,
      saved: saved.pointer, scratch: scratch.pointer)
    layer.forward(pass)
    var result = LayerResult(output: Self.plain(y.pointer, images, output))
    guard mode == .training else {
      return withExtendedLifetime((x, weights, kept, y, prepared, saved, scratch)) { result }
    }
    let measured = layer.statistics(for: shapes)
    let sums = measured.map { FloatBuffer(count: Self.room($0)) }
    layer.batchStatistics(pass, microbatch: 0, into: sums.map(\.pointer))
    result.batchStatistics = zip(measured, sums).map {
      Tensor(shape: $0.shape, values: $0.storage.unpack($1.pointer, $0.shape))
    }
    guard let outputGradient else {
      return withExtendedLifetime((x, weights, kept, y, prepared, saved, scratch)) { result }
    }
    let dy = FloatBuffer(Self.blocked(outputGradient, output))
    let dx = FloatBuffer(count: images * shapes[0].blockedCount)
    let backward = BackwardPass(
      wave: wave, kernels: kernels, inputShapes: shapes, outputShape: output,
      inputs: x.map { UnsafePointer($0.pointer) }, inputIsPlanar: false, output: y.pointer,
      parameters: pointers, prepared: prepared.pointer, outputGradient: dy.pointer,
      inputGradients: [dx.pointer], saved: saved.pointer, scratch: scratch.pointer)
    let declared = layer.parameters(for: shapes)
    let gradients = declared.map { FloatBuffer(count: Self.room($0)) }
    layer.backwardParameters(backward, microbatch: 0, gradients: gradients.map(\.pointer))
    layer.backwardData(backward)
    result.inputGradient = Self.plain(dx.pointer, images, shapes[0])
    result.parameterGradients = zip(declared, gradients).map {
      Tensor(shape: $0.shape, values: $0.storage.unpack($1.pointer, $0.shape))
    }
    return withExtendedLifetime((x, weights, kept, y, prepared, saved, scratch, dy, dx, gradients)) { result }
  }

  package func crossEntropy(_ scores: Batch, labels: [Int32]) -> (loss: Double, gradient: Batch) {
    let (shape, images) = (scores.feature, scores.shape[0])
    let z = FloatBuffer(Self.blocked(scores, shape))
    let gradient = FloatBuffer(count: images * shape.blockedCount)
    let loss = SoftmaxCrossEntropy(classes: shape.channels)
    let denominator = loss.denominator(of: labels)
    let sums = loss.forwardBackward(
      logits: z.pointer, n: images, images: 0..<images, labels: labels, denominator: denominator,
      dLogits: gradient.pointer, kernels: kernels)
    return withExtendedLifetime((z, gradient)) {
      (sums.loss / Double(denominator), Self.plain(gradient.pointer, images, shape))
    }
  }

  package func descend(
    _ config: OptimizerConfig, from start: [Float], steps: Int, slope: ([Float]) -> [Float]
  ) -> [[Float]] {
    let layout = FlatLayout(parameters: [.init("place", [start.count], .weight)], statistics: [])
    let optimizer = Optimizer(config, layout: layout, slices: [0..<layout.extent], kernels: kernels)
    let (values, gradients) = (FloatBuffer(count: layout.extent), FloatBuffer(count: layout.extent))
    values.pointer.update(from: start, count: start.count)
    let way = (0..<steps).map { step in
      gradients.pointer.update(from: slope(Array(values.values.prefix(start.count))), count: start.count)
      optimizer.step(
        values: values.pointer, gradients: gradients.pointer, range: 0..<layout.extent,
        learningRate: config.learningRate, stepNumber: step + 1)
      return Array(values.values.prefix(start.count))
    }
    return withExtendedLifetime((values, gradients)) { [start] + way }
  }

  package func add(_ a: [Float], _ b: [Float]) -> [Float] {
    precondition(
      a.count == b.count, "a sum expects as many numbers on both sides, got \(a.count) and \(b.count)")
    let (x, y) = (FloatBuffer(a), FloatBuffer(b))
    let sum = FloatBuffer(count: a.count)
    cnn_reduction_kernels_for(kernels.kernelTable).pointee.sum(sum.pointer, x.pointer, y.pointer, a.count)
    return withExtendedLifetime((x, y)) { Array(sum.values.prefix(a.count)) }
  }

  /// Floats of an array in whole vectors.
  private static func room(_ array: ArrayDeclaration) -> Int {
    (array.storage.count(of: array.shape) + 15) / 16 * 16
  }

  /// (N, C, H, W) as the kernels read it, (C/16, N, H, W, 16).
  static func blocked(_ batch: Batch, _ shape: FeatureShape) -> [Float] {
    let images = batch.shape[0]
    var values = [Float](repeating: 0, count: images * shape.blockedCount)
    eachPlace(images, shape) { plain, blocked in values[blocked] = batch.values[plain] }
    return values
  }

  private static func plain(_ blocked: UnsafePointer<Float>, _ images: Int, _ shape: FeatureShape) -> Batch {
    var values = [Float](repeating: 0, count: images * shape.count)
    eachPlace(images, shape) { values[$0] = blocked[$1] }
    return Batch([images, shape.channels, shape.height, shape.width], values)
  }

  /// The places of each number of images in (N, C, H, W) and in (C/16, N, H, W, 16).
  private static func eachPlace(
    _ images: Int, _ shape: FeatureShape, _ body: (_ plain: Int, _ blocked: Int) -> Void
  ) {
    let area = shape.area
    for image in 0..<images {
      for channel in 0..<shape.channels {
        for pixel in 0..<area {
          body(
            (image * shape.channels + channel) * area + pixel,
            ((channel / 16 * images + image) * area + pixel) * 16 + channel % 16)
        }
      }
    }
  }
}
