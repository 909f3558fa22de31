import CKernels
import Layers
import Models
import Tensors

/// Arrays of images as people write them, (N, C, H, W), row by row.
package struct Batch: Sendable, Equatable {
  package var shape: [Int]
  package var values: [Float]

  package init(_ shape: [Int], _ values: [Float]) {
    precondition(
      shape.count == 4 && values.count == shape.reduce(1, *),
      "images (N, C, H, W) of \(shape) expect as many values, got \(values.count)")
    (self.shape, self.values) = (shape, values)
  }

  /// One image of one channel.
  package init(rows: [[Float]]) {
    self.init([1, 1, rows.count, rows.first?.count ?? 0], rows.flatMap { $0 })
  }

  var feature: FeatureShape { FeatureShape(channels: shape[1], height: shape[2], width: shape[3]) }
  var doubles: [Double] { values.map(Double.init) }

  /// One channel of the first image, row by row.
  func channel(_ channel: Int) -> [Double] {
    let area = shape[2] * shape[3]
    return values[(channel * area)..<((channel + 1) * area)].map(Double.init)
  }
}

/// What a layer made of its inputs.
package struct LayerResult: Sendable {
  package var output: Batch
  /// dL/dx of input 0 and dL/d(parameter), where a gradient of the output was given.
  package var inputGradient: Batch?
  package var parameterGradients: [Tensor] = []
  /// What the running statistics would be updated with, in training.
  package var batchStatistics: [Tensor] = []
}

/// What computes the lessons: the layers that training runs. A test puts a broken one in its place.
package protocol LessonEngine: Sendable {
  /// Runs a layer over images, all in one microbatch. `parameters` and `statistics` are by the layer's declarations.
  /// Throws `LayerError` where they don't fit the layer.
  func run(
    _ layer: any Layer, _ inputs: [Batch], parameters: [Tensor], statistics: [Tensor], mode: Mode,
    outputGradient: Batch?, epoch: Int
  ) throws(LayerError) -> LayerResult
}

extension LessonEngine {
  func forward(
    _ layer: any Layer, _ inputs: Batch..., parameters: [Tensor] = [], statistics: [Tensor] = [],
    mode: Mode = .inference, epoch: Int = 0
  ) throws(LayerError) -> Batch {
    try run(
      layer, inputs, parameters: parameters, statistics: statistics, mode: mode, outputGradient: nil,
      epoch: epoch
    ).output
  }

  /// The convolution of one-channel images with one kernel, without a bias.
  func convolve(
    _ x: Batch, _ kernel: [[Float]], stride: Int = 1, padding: Int = 0
  ) throws(LayerError) -> Batch {
    let size = Size2D(kernel.count, kernel.first?.count ?? 0)
    let layer = Conv2d(
      outputChannels: 1, kernel: size, stride: Size2D(stride), padding: .explicit(Size2D(padding)),
      bias: false)
    return try forward(
      layer, x, parameters: [Tensor(shape: [1, 1, size.height, size.width], values: kernel.flatMap { $0 })])
  }

  /// The output of every node of a network for one image (1, C, H, W); dropout is at work where `drops`.
  func outputs(
    of network: Network, values: FloatBuffer, image: Batch, drops: Bool = false, epoch: Int = 0
  ) throws(LayerError) -> [Batch] {
    var outputs: [Batch] = []
    for node in network.nodes {
      let inputs = node.inputs.map { source -> Batch in
        guard case .node(let index) = source else { return image }
        return outputs[index]
      }
      func arrays(_ entries: [FlatLayout.Entry]) -> [Tensor] {
        entries.map { Tensor(shape: $0.shape, values: $0.array(in: values.pointer)) }
      }
      outputs.append(
        try run(
          node.layer, inputs, parameters: arrays(node.parameters), statistics: arrays(node.statistics),
          mode: drops && node.layer is Dropout ? .training : .inference, outputGradient: nil, epoch: epoch
        ).output)
    }
    return outputs
  }
}

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
    guard mode == .training else { return withExtendedLifetime((x, weights, kept, y)) { result } }
    let measured = layer.statistics(for: shapes)
    let sums = measured.map { FloatBuffer(count: Self.room($0)) }
    layer.batchStatistics(pass, microbatch: 0, into: sums.map(\.pointer))
    result.batchStatistics = zip(measured, sums).map {
      Tensor(shape: $0.shape, values: $0.storage.unpack($1.pointer, $0.shape))
    }
    guard let outputGradient else { return withExtendedLifetime((x, weights, kept, y)) { result } }
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
    return withExtendedLifetime((x, weights, kept, y)) { result }
  }

  /// Floats of an array in whole vectors.
  private static func room(_ array: ArrayDeclaration) -> Int {
    (array.storage.count(of: array.shape) + 15) / 16 * 16
  }

  /// (N, C, H, W) as the kernels read it, (C/16, N, H, W, 16).
  static func blocked(_ batch: Batch, _ shape: FeatureShape) -> [Float] {
    let (images, area) = (batch.shape[0], shape.area)
    var values = [Float](repeating: 0, count: images * shape.blockedCount)
    for image in 0..<images {
      for channel in 0..<shape.channels {
        let (from, to) = (
          (image * shape.channels + channel) * area,
          (channel / 16 * images + image) * area * 16 + channel % 16
        )
        for pixel in 0..<area { values[to + pixel * 16] = batch.values[from + pixel] }
      }
    }
    return values
  }

  private static func plain(_ blocked: UnsafePointer<Float>, _ images: Int, _ shape: FeatureShape) -> Batch {
    let area = shape.area
    var values = [Float](repeating: 0, count: images * shape.count)
    for image in 0..<images {
      for channel in 0..<shape.channels {
        let (to, from) = (
          (image * shape.channels + channel) * area,
          (channel / 16 * images + image) * area * 16 + channel % 16
        )
        for pixel in 0..<area { values[to + pixel] = blocked[from + pixel * 16] }
      }
    }
    return Batch([images, shape.channels, shape.height, shape.width], values)
  }
}
