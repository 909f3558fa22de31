import Layers
import Tensors
import Testing

/// Runs one layer on arrays given as PyTorch gives them, (N, C, H, W) or (N, F), in memory laid out
/// exactly as the layer's `MemoryNeeds` say: guard words around each block, NaN in everything that
/// is to be overwritten, and NaN in inputs and outputs that backward says it doesn't read. Lanes of
/// channels that don't exist must come out as zeros.
final class LayerHarness {
  /// What a layer gives for one microbatch.
  struct Leaf: Equatable {
    var parameterGradients: [Tensor] = []
    var batchStatistics: [Tensor] = []
  }

  struct Result {
    /// (N, C, H, W) of the output.
    var output: Tensor
    /// (N, C, H, W) of each input; nil where none was asked for. Empty without backward.
    var inputGradients: [Tensor?] = []
    /// By microbatch.
    var leaves: [Leaf]

    /// The sums over the microbatches.
    var parameterGradients: [Tensor] {
      guard let first = leaves.first else { return [] }
      return leaves.dropFirst().reduce(first.parameterGradients) { sums, leaf in
        zip(sums, leaf.parameterGradients).map { sum, term in
          Tensor(shape: sum.shape, values: zip(sum.values, term.values).map { $0 + $1 })
        }
      }
    }

    /// Of the only microbatch.
    var batchStatistics: [Tensor] {
      precondition(leaves.count == 1, "each of \(leaves.count) microbatches has statistics of its own")
      return leaves[0].batchStatistics
    }
  }

  let layer: any Layer
  let images: Int
  let inputShapes: [FeatureShape]
  let outputShape: FeatureShape
  let parameterDeclarations: [ArrayDeclaration]
  let statisticDeclarations: [ArrayDeclaration]
  /// (N, C, H, W) or (N, F).
  var inputs: [Tensor]
  /// In PyTorch's shapes.
  var parameters: [Tensor]
  var statistics: [Tensor]
  var kernels = InstructionSet.detected
  /// Of the first image.
  var place = BatchPlace(seed: 7, epoch: 2, firstPosition: 40)
  /// Images of each microbatch of the wave; by default one holds all.
  var microbatches: [Int]
  /// Lays the output over input 0 and dx over dy.
  var inPlace = false
  /// Who knows the microbatches that the wave does not hold.
  var pooling: (any BatchPooling)?
  /// Gives input 0 as the network's images lie, (C, N, H, W), where the layer reads them so.
  var inputIsPlanar = false

  /// `parameters` and `statistics` default to the layer's own initialisation.
  init(
    _ layer: any Layer, inputs: [Tensor], parameters: [Tensor]? = nil, statistics: [Tensor]? = nil
  ) throws {
    self.layer = layer
    images = inputs[0].shape[0]
    microbatches = [inputs[0].shape[0]]
    inputShapes = inputs.map(FeatureShape.init(ofBatch:))
    outputShape = try layer.outputShape(of: inputShapes)
    parameterDeclarations = layer.parameters(for: inputShapes)
    statisticDeclarations = layer.statistics(for: inputShapes)
    self.inputs = inputs
    self.parameters = Self.arrays(parameters, parameterDeclarations)
    self.statistics = Self.arrays(statistics, statisticDeclarations)
  }

  private static func arrays(_ given: [Tensor]?, _ declared: [ArrayDeclaration]) -> [Tensor] {
    if let given {
      precondition(given.map(\.shape) == declared.map(\.shape), "given arrays don't have the declared shapes")
      return given
    }
    return declared.enumerated().map {
      let values = $1.initialisation.values(count: $1.shape.count, seed: 1, array: $0)
      return Tensor(shape: $1.shape, values: values)
    }
  }

  var needs: MemoryNeeds { layer.memory(for: inputShapes, images: images, kernels: kernels) }

  var wave: Wave {
    var (ranges, places) = ([Range<Int>](), [BatchPlace]())
    for count in microbatches {
      let first = ranges.last?.upperBound ?? 0
      ranges.append(first..<(first + count))
      places.append(place)
      places[places.count - 1].firstPosition += first
    }
    precondition(ranges.last?.upperBound == images, "microbatches of \(images) images hold \(microbatches)")
    return Wave(microbatches: ranges, places: places)
  }

  /// Forward, and in training backward from `outputGradient` (N, C, H, W).
  func run(
    mode: Mode = .training, outputGradient: Tensor? = nil, inputGradientsWanted: [Bool]? = nil
  ) -> Result {
    precondition(outputGradient == nil || mode == .training, "backward follows a forward pass in training")
    let run = HarnessRun(self, mode: mode)
    var result = Result(output: run.forward(), leaves: run.batchStatistics())
    guard let outputGradient else { return result }
    precondition(outputGradient.shape.count == images * outputShape.count, "dy has another shape than y")
    let wanted = inputGradientsWanted ?? inputShapes.map { _ in true }
    let gradients = run.backward(from: outputGradient, wanted: wanted)
    result.inputGradients = gradients.inputs
    for (index, arrays) in gradients.parameters.enumerated() {
      result.leaves[index].parameterGradients = arrays
    }
    return result
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
    var arrays: [(place: ReferenceWritableKeyPath<LayerHarness, Tensor>, gradient: Tensor?)] = []
    for index in inputs.indices { arrays.append((\.inputs[index], result.inputGradients[index])) }
    for index in parameters.indices { arrays.append((\.parameters[index], result.parameterGradients[index])) }
    var worst = 0.0
    for (array, gradient) in arrays {
      guard let gradient = gradient?.values else { continue }
      let largest = gradient.reduce(0.0) { max($0, abs(Double($1))) }
      for index in sampled(gradient.count, samples) {
        let value = self[keyPath: array].values[index]
        // The steps as they really are after rounding.
        let (upper, lower) = (value + step, value - step)
        func loss(_ moved: Float) -> Double {
          self[keyPath: array].values[index] = moved
          let y = run().output.values
          return zip(y, r.values).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        }
        let slope = (loss(upper) - loss(lower)) / (Double(upper) - Double(lower))
        self[keyPath: array].values[index] = value
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
  of layer: any Layer, inputs shapes: [Shape], parameters: [Tensor]? = nil, microbatches: [Int]? = nil,
  step: Float = 1e-2
) throws -> Double {
  let inputs = shapes.enumerated().map { Tensor.random($1, number: 100 + $0) }
  let declared = layer.parameters(for: inputs.map(FeatureShape.init(ofBatch:)))
  let parameters = parameters ?? declared.enumerated().map { Tensor.random($1.shape, number: 200 + $0) }
  let harness = try LayerHarness(layer, inputs: inputs, parameters: parameters)
  if let microbatches { harness.microbatches = microbatches }
  return harness.gradientError(step: step)
}
