import Layers
import Tensors
import Testing

@Suite struct BatchNorm2dTests {
  struct Hyper: Decodable {
    var eps: Float
    var momentum: Float
    var errors: [String: Double]
  }

  /// max |got − exact| / max |exact|, where `exact` is kept in two floats.
  private func error(_ got: Tensor, _ golden: GoldenFile, _ name: String) throws -> Double {
    let exact = zip(try golden.tensor(name).values, try golden.tensor(name + "_low").values).map {
      Double($0) + Double($1)
    }
    let largest = exact.reduce(0) { max($0, abs($1)) }
    return zip(got.values, exact).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / largest
  }

  /// Against float64, element by element: no worse than PyTorch's own float32, up to the roundings of sums
  /// over 32 pixels, where PyTorch sums in double.
  @Test(arguments: InstructionSet.available)
  func equalsPyTorch(kernels: InstructionSet) throws {
    let golden = try GoldenFile("batch_norm")
    for (name, hyper) in try golden.cases(Hyper.self) {
      let affine = golden.has("\(name)/weight")
      var layer = BatchNorm2d(epsilon: hyper.eps, momentum: hyper.momentum, affine: affine)
      func array(_ array: String) throws -> Tensor { try golden.tensor("\(name)/\(array)") }
      let running = [try array("mean0"), try array("var0")]
      let x = try array("x")
      // In one piece, in place, and over the global batch, in as many microbatches as there are images.
      for variant in 0..<3 {
        layer.statisticsOver = variant == 2 ? .globalBatch : .microbatch
        let harness = try LayerHarness(
          layer, inputs: [x], parameters: affine ? [try array("weight"), try array("bias")] : [],
          statistics: running)
        harness.kernels = kernels
        harness.inPlace = variant == 1
        if variant == 2 {
          harness.pooling = PoolingAlone()
          harness.microbatches = Array(repeating: 1, count: harness.images)
        }
        let result = harness.run(outputGradient: try array("dy"))
        var got = ["y": result.output, "eval_y": harness.run(mode: .inference).output]
        got["dx"] = result.inputGradients[0]
        if affine {
          (got["dweight"], got["dbias"]) = (result.parameterGradients[0], result.parameterGradients[1])
        }
        for (index, array) in ["running_mean", "running_var"].enumerated() {
          #expect(
            result.leaves.allSatisfy { $0.batchStatistics[index] == result.leaves[0].batchStatistics[index] })
          var moved = running[index]
          for channel in moved.values.indices {
            moved.values[channel] =
              (1 - layer.momentum) * moved.values[channel]
              + layer.momentum * result.leaves[0].batchStatistics[index].values[channel]
          }
          got[array] = moved
        }
        #expect(Set(got.keys) == Set(hyper.errors.keys))
        for (array, tensor) in got {
          let own = try error(tensor, golden, "\(name)/\(array)")
          let theirs = try #require(hyper.errors[array])
          #expect(
            own <= max(1.01 * theirs, 0x1p-21), "\(name)/\(array), \(variant): \(own), PyTorch \(theirs)")
        }
      }
    }
  }

  @Test func gradientIsTheSlope() throws {
    for affine in [true, false] {
      #expect(try gradientError(of: BatchNorm2d(affine: affine), inputs: [[4, 3, 6, 7]]) < 1e-4)
    }
    #expect(try gradientError(of: BatchNorm2d(epsilon: 0.1), inputs: [[40, 2]]) < 2e-4)
  }

  /// Frozen: normed by the running statistics in training too, whatever follows, and dx as central differences say.
  @Test func aFrozenNormIsThatOfInference() throws {
    let shape: Shape = [4, 3, 6, 7]
    let statistics = [
      Tensor.random([3], number: 70), Tensor(shape: [3], values: [0.25, 1.5, 3]),
    ]
    for following in [Following.nothing, .relu, .addThenReLU, .reluThenMaxPool] {
      var layer = BatchNorm2d(following: following)
      let inputs = (0..<(following == .addThenReLU ? 2 : 1)).map { Tensor.random(shape, number: 80 + $0) }
      let parameters = [Tensor.random([3], number: 62), Tensor.random([3], number: 63)]
      let trained = try LayerHarness(layer, inputs: inputs, parameters: parameters, statistics: statistics)
      let inference = trained.run(mode: .inference).output
      layer.learning = .nothing
      let frozen = try LayerHarness(layer, inputs: inputs, parameters: parameters, statistics: statistics)
      #expect(frozen.run().output == inference)
      #expect(trained.run().output != inference)
      // Kinks are met by large steps.
      let error = frozen.gradientError(step: following == .nothing ? 1e-2 : 2e-4)
      #expect(error < (following == .nothing ? 1e-4 : 5e-3), "\(following)")
    }
    var layer = BatchNorm2d()
    layer.learning = .nothing
    #expect(layer.smallestMicrobatch(for: [FeatureShape(channels: 3)]) == 1)
  }

  @Test func outputHasMeanZeroAndVarianceOne() throws {
    var x = Tensor.random([3, 2, 11, 13], number: 1)
    for index in x.values.indices { x.values[index] = 1000 + 3 * x.values[index] }
    let y = try LayerHarness(BatchNorm2d(epsilon: 0), inputs: [x]).run().output
    for channel in 0..<2 {
      let values = y.values.enumerated().filter { $0.offset / 143 % 2 == channel }.map { Double($0.element) }
      let mean = values.reduce(0, +) / 429
      // The mean is kept as a float: at 1000 with a deviation of 1.7, half a unit in its last place.
      #expect(abs(mean) < 3e-5)
      #expect(abs(values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 429 - 1) < 1e-6)
    }
  }

  @Test func aConstantChannelHasNoVariance() throws {
    let result = try LayerHarness(BatchNorm2d(), inputs: [Tensor(shape: [3, 1, 5, 5], repeating: 12345.678)])
      .run()
    #expect(result.output.values.allSatisfy { $0 == 0 })
    #expect(result.batchStatistics[0].values == [12345.678])
    #expect(result.batchStatistics[1].values == [0])
  }

  /// Far from zero, sums of squares lose everything even in double unless they begin at the data:
  /// for n numbers `step` apart the variance is step² · n(n + 1)/12.
  @Test func varianceIsRightAMillionAwayFromZero() throws {
    let x = Tensor(shape: [3, 1, 5, 5], values: (0..<75).map { 1e6 + 0.0625 * Float($0 * 7 % 75) })
    let statistics = try LayerHarness(BatchNorm2d(), inputs: [x]).run().batchStatistics
    #expect(statistics[0].values == [1e6 + 0.0625 * 37])
    #expect(abs(statistics[1].values[0] / (0.0625 * 0.0625 * 475) - 1) < 1e-6)
  }

  /// The fused form must give the bits of the two layers, on every instruction set, in both modes.
  @Test(arguments: InstructionSet.available)
  func fusedReLUEqualsThePairBitByBit(kernels: InstructionSet) throws {
    for (number, shape) in ([[2, 3, 5, 7], [3, 2, 1, 1], [1, 2, 8, 16], [5, 1, 3, 3]] as [Shape]).enumerated()
    {
      let x = Tensor.random(shape, number: number)
      let dy = Tensor.random(shape, number: 50 + number)
      let parameters = [Tensor.random([shape[1]], number: 60), Tensor.random([shape[1]], number: 61)]
      func harness(_ layer: any Layer, _ input: Tensor, _ parameters: [Tensor]) throws -> LayerHarness {
        let harness = try LayerHarness(layer, inputs: [input], parameters: parameters)
        harness.kernels = kernels
        return harness
      }
      let norm = try harness(BatchNorm2d(), x, parameters)
      let fused = try harness(BatchNorm2d(following: .relu), x, parameters)
      let relu = try harness(ReLU(), norm.run().output, []).run(outputGradient: dy)
      let dNorm = norm.run(outputGradient: relu.inputGradients[0])
      let both = fused.run(outputGradient: dy)
      #expect(both.output == relu.output)
      #expect(both.output.values.contains(0) && both.output.values.contains { $0 > 0 })
      #expect(both.inputGradients == dNorm.inputGradients)
      #expect(both.parameterGradients == dNorm.parameterGradients)
      #expect(both.batchStatistics == dNorm.batchStatistics)
      fused.inPlace = true
      let inPlace = fused.run(outputGradient: dy)
      #expect(inPlace.output == both.output && inPlace.inputGradients == both.inputGradients)
      let inference = norm.run(mode: .inference).output.values.map { max(0, $0) }
      #expect(fused.run(mode: .inference).output.values == inference)
    }
  }

  @Test func everyInstructionSetGivesTheSameBits() throws {
    for shape in [[2, 3, 5, 7], [1, 2, 4, 4], [7, 1, 3, 1], [4, 2, 16, 17]] as [Shape] {
      let harness = try LayerHarness(BatchNorm2d(), inputs: [.random(shape, number: 3)])
      let results = InstructionSet.available.map { kernels in
        harness.kernels = kernels
        return harness.run(outputGradient: .random(shape, number: 4))
      }
      for result in results {
        #expect(result.output == results[0].output)
        #expect(result.inputGradients == results[0].inputGradients)
        #expect(result.parameterGradients == results[0].parameterGradients)
        #expect(result.batchStatistics == results[0].batchStatistics)
      }
    }
  }

  @Test func skipsTheInputGradientThatNobodyWants() throws {
    let harness = try LayerHarness(BatchNorm2d(), inputs: [.random([2, 3, 4, 4], number: 1)])
    let dy = Tensor.random([2, 3, 4, 4], number: 2)
    let result = harness.run(outputGradient: dy, inputGradientsWanted: [false])
    #expect(result.inputGradients == [nil])
    #expect(result.parameterGradients == harness.run(outputGradient: dy).parameterGradients)
  }

  @Test func saysTheSmallestMicrobatch() {
    #expect(BatchNorm2d().smallestMicrobatch(for: [FeatureShape(channels: 3)]) == 2)
    #expect(BatchNorm2d().smallestMicrobatch(for: [FeatureShape(channels: 3, height: 1, width: 2)]) == 1)
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    for affine in [true, false] {
      for following: Following in [.nothing, .relu, .addThenReLU, .reluThenMaxPool] {
        let layer = BatchNorm2d(affine: affine, following: following)
        let inputs = Array(repeating: [6, 19, 5, 8] as Shape, count: following == .addThenReLU ? 2 : 1)
        try expectMicrobatchesIndependent(of: layer, inputs: inputs)
        // Pooled, one channel's weight decides for its whole block how sums are taken.
        guard following != .reluThenMaxPool || !affine else { continue }
        try expectChannelsIndependent(of: layer, inputs: inputs.count, height: 6, width: 9)
      }
    }
  }
}
