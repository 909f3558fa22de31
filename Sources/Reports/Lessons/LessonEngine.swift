import Layers
import Models
import Tensors
import Training

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

  /// The loss of class scores (N, K, 1, 1) with these labels, their mean, and its dL/dz.
  func crossEntropy(_ scores: Batch, labels: [Int32]) -> (loss: Double, gradient: Batch)

  /// Where `steps` steps of an optimizer lead from `start`, which comes first; `slope` is the gradient at a place.
  func descend(
    _ optimizer: OptimizerConfig, from start: [Float], steps: Int, slope: ([Float]) -> [Float]
  ) -> [[Float]]

  /// a + b, as the reduction tree adds gradients.
  func add(_ a: [Float], _ b: [Float]) -> [Float]
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

  /// The output of every node of a network for images (N, C, H, W), up to node `last`; `known` are those of the
  /// first nodes, where they needn't be computed again. Dropout is at work where `drops`.
  func outputs(
    of network: Network, values: FloatBuffer, image: Batch, upTo last: Int? = nil,
    known: ArraySlice<Batch> = [],
    drops: Bool = false, epoch: Int = 0
  ) throws(LayerError) -> [Batch] {
    var outputs = Array(known)
    for node in network.nodes[known.count...(last ?? network.nodes.count - 1)] {
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
