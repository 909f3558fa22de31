import Layers
import Tensors
import Testing

/// Runs one layer on arrays given as PyTorch gives them, (N, C, H, W) or (N, F), in memory laid out
/// exactly as the layer's `MemoryNeeds` say: guard words around each block, NaN in everything that
/// is to be overwritten, and NaN in inputs and outputs that backward says it doesn't read.
final class LayerHarness {
  struct Result {
    /// (N, C, H, W) of the output.
    var output: Tensor
    /// (N, C, H, W) of each input; nil where none was asked for. Empty after inference.
    var inputGradients: [Tensor?] = []
    var parameterGradients: [Tensor] = []
    var batchStatistics: [Tensor] = []
  }

  let layer: any Layer
  let images: Int
  let inputShapes: [FeatureShape]
  let outputShape: FeatureShape
  let needs: MemoryNeeds
  let parameterDeclarations: [ArrayDeclaration]
  let statisticDeclarations: [ArrayDeclaration]
  var kernels = InstructionSet.detected
  var place = BatchPlace(seed: 7, epoch: 2, firstPosition: 40)
  /// Lays the output over input 0 and dx over dy.
  var inPlace = false

  fileprivate let inputs: [GuardedBuffer]
  fileprivate let parameters: [GuardedBuffer]
  private let statistics: [GuardedBuffer]
  private let saved: GuardedBuffer
  private let scratch: GuardedBuffer
  fileprivate let output: GuardedBuffer
  private let batchStatistics: [GuardedBuffer]

  /// `parameters` and `statistics` default to the layer's own initialisation.
  init(
    _ layer: any Layer, inputs: [Tensor], parameters: [Tensor]? = nil, statistics: [Tensor]? = nil
  ) throws {
    self.layer = layer
    images = inputs[0].shape[0]
    inputShapes = inputs.map(FeatureShape.init(ofBatch:))
    outputShape = try layer.outputShape(of: inputShapes)
    needs = layer.memory(for: inputShapes, images: images)
    parameterDeclarations = layer.parameters(for: inputShapes)
    statisticDeclarations = layer.statistics(for: inputShapes)
    self.inputs = inputs.map { GuardedBuffer($0.channelMajor) }
    self.parameters = Self.buffers(parameters, parameterDeclarations)
    self.statistics = Self.buffers(statistics, statisticDeclarations)
    saved = GuardedBuffer(count: needs.savedFixed + images * needs.savedPerImage)
    scratch = GuardedBuffer(count: needs.scratch)
    output = GuardedBuffer(count: images * outputShape.count)
    batchStatistics = statisticDeclarations.map { GuardedBuffer(count: $0.shape.count) }
  }

  private static func buffers(_ given: [Tensor]?, _ declared: [ArrayDeclaration]) -> [GuardedBuffer] {
    if let given {
      precondition(given.map(\.shape) == declared.map(\.shape), "given arrays don't have the declared shapes")
      return given.map { GuardedBuffer($0.values) }
    }
    return declared.enumerated().map {
      GuardedBuffer($1.initialisation.values(count: $1.shape.count, seed: 1, array: $0))
    }
  }

  /// Forward, and in training backward from `outputGradient` (N, C, H, W).
  func run(
    mode: Mode = .training, outputGradient: Tensor? = nil, inputGradientsWanted: [Bool]? = nil
  ) -> Result {
    let original = inputs.map(\.values)
    let y = forward(mode: mode)
    var result = Result(output: y.nchw(images: images, outputShape))
    if mode == .training {
      result.batchStatistics = zip(batchStatistics, statisticDeclarations).map {
        Tensor(shape: $1.shape, values: $0.values)
      }
    }
    if let outputGradient {
      precondition(mode == .training, "backward follows a forward pass in training")
      backward(from: outputGradient, wanted: inputGradientsWanted, inputs: original, into: &result)
    }
    for (buffer, values) in zip(inputs, original) { buffer.fill(values) }
    return result
  }

  /// The output, channel-major.
  fileprivate func forward(mode: Mode) -> [Float] {
    precondition(!inPlace || needs.worksInPlace, "\(layer.kind) doesn't work in place")
    let target = inPlace ? inputs[0] : output
    if !inPlace { output.poison() }
    for buffer in [saved, scratch] + batchStatistics { buffer.poison() }
    layer.forward(
      ForwardPass(
        images: images, mode: mode, place: place, kernels: kernels, inputShapes: inputShapes,
        outputShape: outputShape, inputs: inputs.map { UnsafePointer($0.pointer) }, output: target.pointer,
        parameters: parameters.map { UnsafePointer($0.pointer) },
        statistics: statistics.map { UnsafePointer($0.pointer) },
        batchStatistics: batchStatistics.map(\.pointer), saved: saved.pointer, scratch: scratch.pointer))
    checkGuards("forward", inputs + parameters + statistics + batchStatistics + [saved, scratch, output])
    return target.values
  }

  private func backward(
    from outputGradient: Tensor, wanted: [Bool]?, inputs original: [[Float]], into result: inout Result
  ) {
    precondition(outputGradient.shape.count == images * outputShape.count, "dy has another shape than y")
    let y = inPlace ? inputs[0].values : output.values
    let outputs = GuardedBuffer(y)
    let dy = GuardedBuffer(outputGradient.channelMajor)
    let x = original.map(GuardedBuffer.init)
    if !needs.backwardReadsOutput { outputs.poison() }
    if !needs.backwardReadsInput { x.forEach { $0.poison() } }
    let wanted = wanted ?? inputs.map { _ in true }
    let dx: [GuardedBuffer?] = inputShapes.indices.map { index in
      if inPlace && index == 0 { return dy }
      return wanted[index] ? GuardedBuffer(count: images * inputShapes[index].count) : nil
    }
    let dParameters = parameterDeclarations.map { GuardedBuffer(count: $0.shape.count) }
    scratch.poison()
    layer.backward(
      BackwardPass(
        images: images, place: place, kernels: kernels, inputShapes: inputShapes, outputShape: outputShape,
        inputs: x.map { UnsafePointer($0.pointer) }, output: outputs.pointer,
        parameters: parameters.map { UnsafePointer($0.pointer) }, outputGradient: dy.pointer,
        inputGradients: dx.map { $0?.pointer }, parameterGradients: dParameters.map(\.pointer),
        saved: saved.pointer, scratch: scratch.pointer))
    checkGuards(
      "backward", x + parameters + dParameters + dx.compactMap(\.self) + [saved, scratch, outputs, dy])
    result.inputGradients = zip(dx, inputShapes).map { $0?.values.nchw(images: images, $1) }
    result.parameterGradients = zip(dParameters, parameterDeclarations).map {
      Tensor(shape: $1.shape, values: $0.values)
    }
  }

  private func checkGuards(_ pass: String, _ buffers: [GuardedBuffer]) {
    for buffer in buffers where !buffer.isIntact {
      Issue.record("\(layer.kind).\(pass) wrote outside a block of \(buffer.count) floats")
    }
  }
}

/// Floats on a 64-byte border between guard words; poisoned (NaN) until written.
final class GuardedBuffer {
  let count: Int
  private let memory: FloatBuffer
  private static let margin = 16
  private static let guardWord: UInt32 = 0xC0FF_EE11

  init(count: Int) {
    self.count = count
    memory = FloatBuffer(count: count + 2 * Self.margin)
    for index in guardIndices { memory[index] = Float(bitPattern: Self.guardWord) }
    poison()
  }

  convenience init(_ values: [Float]) {
    self.init(count: values.count)
    fill(values)
  }

  var pointer: UnsafeMutablePointer<Float> { memory.pointer + Self.margin }
  var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
  var isIntact: Bool { guardIndices.allSatisfy { memory[$0].bitPattern == Self.guardWord } }

  func fill(_ values: [Float]) { pointer.update(from: values, count: count) }
  func poison() { pointer.update(repeating: .nan, count: count) }

  private var guardIndices: [Int] {
    Array(0..<Self.margin) + Array((Self.margin + count)..<(2 * Self.margin + count))
  }
}

extension LayerHarness {
  /// The greatest error of the layer's gradients against central differences of the loss
  /// L = Σ r·y with fixed random r, over all inputs and parameters; each array's error is relative to
  /// its largest gradient. Differences by `step`, sums in Double, at most `samples` elements an array.
  func gradientError(step: Float = 1e-2, samples: Int = 200) -> Double {
    let weights = RandomStream(seed: 11, purpose: .test(1))
    let r = Tensor(
      shape: [images, outputShape.channels, outputShape.height, outputShape.width],
      values: (0..<(images * outputShape.count)).map { 2 * weights.uniform(at: $0) - 1 })
    let result = run(outputGradient: r)
    let dInputs = result.inputGradients.compactMap { $0?.channelMajor }
    let factors = r.channelMajor
    var worst = 0.0
    for (buffer, gradient) in zip(inputs + parameters, dInputs + result.parameterGradients.map(\.values)) {
      let largest = gradient.reduce(0.0) { max($0, abs(Double($1))) }
      for index in sampled(buffer.count, samples) {
        let value = buffer.pointer[index]
        // The steps as they really are after rounding.
        let (upper, lower) = (value + step, value - step)
        let original = inputs[0].values
        func loss(_ moved: Float) -> Double {
          buffer.pointer[index] = moved
          let y = forward(mode: .training)
          let sum = zip(y, factors).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
          if inPlace { inputs[0].fill(original) }
          return sum
        }
        let slope = (loss(upper) - loss(lower)) / (Double(upper) - Double(lower))
        buffer.pointer[index] = value
        let error = abs(slope - Double(gradient[index])) / max(largest, .leastNormalMagnitude)
        guard error.isFinite else { return .infinity }
        worst = max(worst, error)
      }
    }
    return worst
  }

  private func sampled(_ count: Int, _ samples: Int) -> [Int] {
    if count <= samples { return Array(0..<count) }
    return Array(RandomStream(seed: 5, purpose: .test(2)).permutation(count: count).prefix(samples))
  }
}

/// Error of a layer's gradients at random inputs in [−1, 1) of these shapes, (N, C, H, W) or (N, F);
/// parameters are random too unless given. See `LayerHarness.gradientError`.
func gradientError(
  of layer: any Layer, inputs shapes: [Shape], parameters: [Tensor]? = nil, step: Float = 1e-2
) throws -> Double {
  let inputs = shapes.enumerated().map { Tensor.random($1, number: 100 + $0) }
  let declared = layer.parameters(for: inputs.map(FeatureShape.init(ofBatch:)))
  let parameters = parameters ?? declared.enumerated().map { Tensor.random($1.shape, number: 200 + $0) }
  return try LayerHarness(layer, inputs: inputs, parameters: parameters).gradientError(step: step)
}
