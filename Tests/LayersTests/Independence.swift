import Layers
import Tensors
import Testing

extension Tensor {
  /// Channel `channel` of a batch (N, C, H, W).
  func channel(_ channel: Int) -> Tensor {
    let area = shape[2] * shape[3]
    let planes = (0..<shape[0]).flatMap { image -> ArraySlice<Float> in
      let start = (image * shape[1] + channel) * area
      return values[start..<(start + area)]
    }
    return Tensor(shape: [shape[0], 1, shape[2], shape[3]], values: planes)
  }
}

/// Each microbatch of a wave must give the bits that it gives alone.
func expectMicrobatchesIndependent(
  of layer: any Layer, inputs shapes: [Shape], microbatches: [Int] = [2, 1, 3],
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let inputs = shapes.enumerated().map { Tensor.random($1, number: 500 + $0) }
  let parameters = layer.parameters(for: inputs.map(FeatureShape.init(ofBatch:))).enumerated().map {
    Tensor.random($1.shape, number: 520 + $0)
  }
  let wave = try LayerHarness(layer, inputs: inputs, parameters: parameters)
  wave.microbatches = microbatches
  let output = wave.outputShape
  let dy = Tensor.random([wave.images, output.channels, output.height, output.width], number: 540)
  let together = wave.run(outputGradient: dy)
  for (index, range) in wave.wave.microbatches.enumerated() {
    let single = try LayerHarness(layer, inputs: inputs.map { $0.images(range) }, parameters: parameters)
    single.place = wave.wave.places[index]
    let alone = single.run(outputGradient: dy.images(range))
    #expect(together.output.images(range) == alone.output, sourceLocation: sourceLocation)
    #expect(
      together.inputGradients.map { $0?.images(range) } == alone.inputGradients,
      sourceLocation: sourceLocation)
    #expect([together.leaves[index]] == alone.leaves, sourceLocation: sourceLocation)
  }
}

/// A layer that works channel by channel must give the bits, in whichever lane of whichever block a channel
/// lies, that the channel gives alone.
func expectChannelsIndependent(
  of layer: any Layer, inputs count: Int = 1, height: Int, width: Int,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let inputs = (0..<count).map { Tensor.random([3, 37, height, width], number: 560 + $0) }
  let parameters = layer.parameters(for: inputs.map(FeatureShape.init(ofBatch:))).enumerated().map {
    Tensor.random($1.shape, number: 570 + $0)
  }
  let harness = try LayerHarness(layer, inputs: inputs, parameters: parameters)
  let output = harness.outputShape
  let dy = Tensor.random([3, 37, output.height, output.width], number: 580)
  for kernels in InstructionSet.available {
    harness.kernels = kernels
    let all = harness.run(outputGradient: dy)
    for channel in [0, 7, 15, 16, 31, 36] {
      let single = try LayerHarness(
        layer, inputs: inputs.map { $0.channel(channel) },
        parameters: parameters.map { Tensor(shape: [1], values: [$0.values[channel]]) })
      let alone = single.run(outputGradient: dy.channel(channel))
      #expect(all.output.channel(channel) == alone.output, sourceLocation: sourceLocation)
      #expect(
        all.inputGradients.map { $0?.channel(channel) } == alone.inputGradients,
        sourceLocation: sourceLocation)
      for (mine, its) in zip(all.parameterGradients, alone.parameterGradients) {
        #expect(mine.values[channel] == its.values[0], sourceLocation: sourceLocation)
      }
      for (mine, its) in zip(all.batchStatistics, alone.batchStatistics) {
        #expect(mine.values[channel] == its.values[0], sourceLocation: sourceLocation)
      }
    }
  }
}
