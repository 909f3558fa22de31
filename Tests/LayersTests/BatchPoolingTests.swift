import Layers
import Tensors
import Testing

/// Batch norm over the global batch: microbatches that pool what they know are one batch.
@Suite struct BatchPoolingTests {
  static let cuts = [[2, 1, 3], [1, 1, 1, 1, 1, 1], [5, 1]]

  private func harness(
    _ following: Following, affine: Bool = true, _ statistics: BatchStatistics,
    images: Int = 6, _ microbatches: [Int]
  ) throws -> LayerHarness {
    let layer = BatchNorm2d(affine: affine, following: following, statisticsOver: statistics)
    let shape: Shape = [images, 19, 5, 6]
    let inputs = (0..<(following == .addThenReLU ? 2 : 1)).map { Tensor.random(shape, number: 30 + $0) }
    let harness = try LayerHarness(
      layer, inputs: inputs,
      parameters: affine ? [Tensor.random([19], number: 40), Tensor.random([19], number: 41)] : [])
    harness.microbatches = microbatches
    if statistics == .globalBatch { harness.pooling = PoolingAlone() }
    return harness
  }

  private func gradient(of harness: LayerHarness) -> Tensor {
    let y = harness.outputShape
    return Tensor.random([harness.images, y.channels, y.height, y.width], number: 50)
  }

  /// A batch of one microbatch has nothing to pool: the bits of the plain layer.
  @Test(arguments: [Following.nothing, .relu, .addThenReLU, .reluThenMaxPool])
  func aSingleMicrobatchGivesTheBitsOfThePlainLayer(following: Following) throws {
    for kernels in InstructionSet.available {
      for affine in [true, false] {
        for inPlace in [false, true] where following != .reluThenMaxPool || !inPlace {
          let (plain, global) = (
            try harness(following, affine: affine, .microbatch, [6]),
            try harness(following, affine: affine, .globalBatch, [6])
          )
          (plain.kernels, global.kernels, global.inPlace) = (kernels, kernels, inPlace)
          let (a, b) = (
            plain.run(outputGradient: gradient(of: plain)), global.run(outputGradient: gradient(of: global))
          )
          #expect(a.output == b.output && a.inputGradients == b.inputGradients && a.leaves == b.leaves)
        }
      }
    }
  }

  @Test(arguments: [Following.nothing, .relu, .addThenReLU, .reluThenMaxPool])
  func microbatchesThatPoolAreOneBatch(following: Following) throws {
    for (cut, affine) in Self.cuts.flatMap({ [($0, true), ($0, false)] }) {
      let (plain, global) = (
        try harness(following, affine: affine, .microbatch, [6]),
        try harness(following, affine: affine, .globalBatch, cut)
      )
      let dy = gradient(of: plain)
      let (whole, parts) = (plain.run(outputGradient: dy), global.run(outputGradient: dy))
      #expect(maxRelativeError(parts.output, whole.output) < 1e-6)
      for (mine, theirs) in zip(parts.inputGradients, whole.inputGradients) {
        #expect(maxRelativeError(try #require(mine), try #require(theirs)) < 2e-6)
      }
      for (mine, theirs) in zip(parts.parameterGradients, whole.parameterGradients) {
        #expect(maxRelativeError(mine, theirs) < 2e-6)
      }
      for leaf in parts.leaves {
        for (mine, theirs) in zip(leaf.batchStatistics, whole.batchStatistics) {
          #expect(maxRelativeError(mine, theirs) < 1e-6)
        }
      }
      // Not what each microbatch gives by itself: the error that the bounds above are to find.
      if cut != [1, 1, 1, 1, 1, 1] {
        let alone = try harness(following, affine: affine, .microbatch, cut).run(outputGradient: dy)
        #expect(maxRelativeError(alone.output, whole.output) > 1e-3)
      }
    }
  }

  @Test func gradientsAreSlopes() throws {
    for affine in [true, false] {
      let harness = try harness(.nothing, affine: affine, .globalBatch, [2, 1, 3])
      #expect(harness.gradientError(samples: 60) < 1e-4)
    }
  }

  /// A wrong share of one part, far from the others' mean and of another size, would show.
  @Test func momentsOfPartsAreTheMomentsOfTheWhole() {
    let values = (0..<40).map { index -> Double in
      let offset: Double = index < 7 ? 1_000_300 : 1_000_000
      return offset + Double(index * index % 13)
    }
    func moments(_ part: ArraySlice<Double>) -> [Double] {
      let mean = part.reduce(0, +) / Double(part.count)
      let squares = part.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      var record = Array(repeating: 0.0, count: PoolingRule.recordCount(channels: 2))
      record.replaceSubrange(0..<5, with: [mean, -mean, squares, 4 * squares, Double(part.count)])
      return record
    }
    for cut in [1, 7, 20, 39] {
      var record = moments(values[..<cut])
      PoolingRule.moments.merge(moments(values[cut...]), into: &record, channels: 2)
      let whole = moments(values[...])
      for place in 0..<5 where place != 3 {
        #expect(abs(record[place] / whole[place] - 1) < 1e-12, "\(cut), \(place)")
      }
      // The second channel's squares are no squares of its own; they add up the same way.
      let delta = moments(values[..<cut])[0] - moments(values[cut...])[0]
      let between = delta * delta * Double(cut * (40 - cut)) / 40
      #expect(abs(record[3] / (4 * whole[2] - 3 * between) - 1) < 1e-9)
    }
    let count = PoolingRule.recordCount(channels: 2)
    var sums = (0..<count).map(Double.init)
    PoolingRule.sums.merge((0..<count).map { 10 * Double($0) }, into: &sums, channels: 2)
    #expect(sums.prefix(5) == [0, 11, 22, 33, 44])
  }

  /// A microbatch of one value per channel is allowed, a batch of one isn't.
  @Test func saysTheSmallestBatch() {
    let layer = BatchNorm2d(statisticsOver: .globalBatch)
    let (vector, image) = (FeatureShape(channels: 3), FeatureShape(channels: 3, height: 1, width: 2))
    #expect(layer.smallestMicrobatch(for: [vector]) == 1 && layer.smallestBatch(for: [vector]) == 2)
    #expect(layer.smallestBatch(for: [image]) == 1)
    #expect(BatchNorm2d().smallestBatch(for: [vector]) == 2)
  }

  @Test func microbatchesOfOneValuePerChannelPool() throws {
    let x = Tensor.random([4, 3, 1, 1], number: 3)
    let dy = Tensor.random([4, 3, 1, 1], number: 4)
    let whole = try LayerHarness(BatchNorm2d(), inputs: [x]).run(outputGradient: dy)
    let harness = try LayerHarness(BatchNorm2d(statisticsOver: .globalBatch), inputs: [x])
    (harness.microbatches, harness.pooling) = ([1, 1, 1, 1], PoolingAlone())
    let parts = harness.run(outputGradient: dy)
    #expect(maxRelativeError(parts.output, whole.output) < 1e-6)
    let (mine, theirs) = (parts.inputGradients[0], whole.inputGradients[0])
    #expect(maxRelativeError(try #require(mine), try #require(theirs)) < 1e-5)
  }
}
