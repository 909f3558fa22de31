import Layers
import Tensors
import Testing

/// Batch norm with what follows it, against the layers one by one.
@Suite struct BatchNormFusionTests {
  static let shapes: [Shape] = [[2, 3, 5, 7], [3, 2, 2, 2], [1, 17, 8, 16], [5, 1, 3, 3], [4, 33, 9, 6]]

  private func harness(
    _ layer: any Layer, _ inputs: [Tensor], _ parameters: [Tensor], _ kernels: InstructionSet
  ) throws -> LayerHarness {
    let harness = try LayerHarness(layer, inputs: inputs, parameters: parameters)
    harness.kernels = kernels
    // More than one microbatch wherever there are images for it.
    harness.microbatches = harness.images > 2 ? [2, harness.images - 2] : [harness.images]
    return harness
  }

  private func parameters(_ channels: Int) -> [Tensor] {
    [Tensor.random([channels], number: 60), Tensor.random([channels], number: 61)]
  }

  @Test(arguments: InstructionSet.available)
  func addAndReLUGiveTheBitsOfTheThreeLayers(kernels: InstructionSet) throws {
    for (number, shape) in Self.shapes.enumerated() {
      let (x, r) = (Tensor.random(shape, number: number), Tensor.random(shape, number: 20 + number))
      let dy = Tensor.random(shape, number: 50 + number)
      let parameters = parameters(shape[1])
      let norm = try harness(BatchNorm2d(), [x], parameters, kernels)
      let sum = try harness(Add(activation: .relu), [norm.run().output, r], [], kernels).run(
        outputGradient: dy)
      let dNorm = norm.run(outputGradient: sum.inputGradients[0])
      let fused = try harness(BatchNorm2d(following: .addThenReLU), [x, r], parameters, kernels)
      for inPlace in [false, true] {
        fused.inPlace = inPlace
        let all = fused.run(outputGradient: dy)
        #expect(all.output == sum.output)
        #expect(all.output.values.contains(0) && all.output.values.contains { $0 > 0 })
        #expect(all.inputGradients == [dNorm.inputGradients[0], sum.inputGradients[1]])
        #expect(all.leaves == dNorm.leaves)
        let normOnly = fused.run(outputGradient: dy, inputGradientsWanted: [true, false])
        #expect(normOnly.inputGradients == [dNorm.inputGradients[0], nil] && normOnly.leaves == dNorm.leaves)
      }
      let inference = try harness(
        Add(activation: .relu), [norm.run(mode: .inference).output, r], [], kernels)
      #expect(fused.run(mode: .inference).output == inference.run(mode: .inference).output)
    }
  }

  @Test(arguments: InstructionSet.available)
  func sumsGiveTheBitsOfTheTwoLayers(kernels: InstructionSet) throws {
    for (number, shape) in Self.shapes.enumerated() {
      let (x, r) = (Tensor.random(shape, number: number), Tensor.random(shape, number: 20 + number))
      let dy = Tensor.random(shape, number: 50 + number)
      let norm = try harness(BatchNorm2d(), [x], parameters(shape[1]), kernels)
      let sum = try harness(Add(), [norm.run().output, r], [], kernels).run(outputGradient: dy)
      let dNorm = norm.run(outputGradient: dy)
      let fused = try harness(BatchNorm2d(following: .add), [x, r], parameters(shape[1]), kernels)
      for inPlace in [false, true] {
        fused.inPlace = inPlace
        let all = fused.run(outputGradient: dy)
        #expect(all.output == sum.output)
        #expect(all.inputGradients == [dNorm.inputGradients[0], dy])
        #expect(all.leaves == dNorm.leaves)
        let normOnly = fused.run(outputGradient: dy, inputGradientsWanted: [true, false])
        #expect(normOnly.inputGradients == [dNorm.inputGradients[0], nil] && normOnly.leaves == dNorm.leaves)
      }
      let inference = try harness(Add(), [norm.run(mode: .inference).output, r], [], kernels)
      #expect(fused.run(mode: .inference).output == inference.run(mode: .inference).output)
    }
  }

  @Test(arguments: InstructionSet.available)
  func functionsGiveTheBitsOfTheTwoLayers(kernels: InstructionSet) throws {
    for layer in [ReLU(), ReLU6(), Hardswish(), SiLU()] as [any Layer] {
      let following = try #require(Following(layer))
      for (number, shape) in Self.shapes.enumerated() {
        let x = Tensor.random(shape, number: number)
        let dy = Tensor.random(shape, number: 50 + number)
        // Large enough for the bends at 3 and 6 to count.
        var parameters = parameters(shape[1])
        parameters[0].values = parameters[0].values.map { $0 * 6 }
        let norm = try harness(BatchNorm2d(), [x], parameters, kernels)
        let function = try harness(layer, [norm.run().output], [], kernels).run(outputGradient: dy)
        let dNorm = norm.run(outputGradient: function.inputGradients[0])
        let fused = try harness(BatchNorm2d(following: following), [x], parameters, kernels)
        for inPlace in [false, true] {
          fused.inPlace = inPlace
          let all = fused.run(outputGradient: dy)
          #expect(all.output == function.output, "\(layer.kind) of \(shape)")
          #expect(all.inputGradients == dNorm.inputGradients, "\(layer.kind) of \(shape)")
          #expect(all.leaves == dNorm.leaves, "\(layer.kind) of \(shape)")
        }
        let inference = try harness(layer, [norm.run(mode: .inference).output], [], kernels)
        #expect(fused.run(mode: .inference).output == inference.run(mode: .inference).output)
      }
    }
  }

  /// Forward bit by bit. In backward x − μ of the winners comes from y, so dweight and dx differ by rounding.
  @Test(arguments: InstructionSet.available)
  func reluAndMaxPoolGiveWhatTheThreeLayersGive(kernels: InstructionSet) throws {
    for (number, shape) in Self.shapes.enumerated() {
      let x = Tensor.random(shape, number: number)
      let parameters = parameters(shape[1])
      let norm = try harness(BatchNorm2d(following: .relu), [x], parameters, kernels)
      let pool = try harness(MaxPool2d(kernel: 2), [norm.run().output], [], kernels)
      let dy = Tensor.random(pool.run().output.shape, number: 50 + number)
      let pooled = pool.run(outputGradient: dy)
      let dNorm = norm.run(outputGradient: pooled.inputGradients[0])
      let fused = try harness(BatchNorm2d(following: .reluThenMaxPool), [x], parameters, kernels)
      let all = fused.run(outputGradient: dy)
      #expect(all.output == pooled.output)
      #expect(all.leaves.map(\.batchStatistics) == dNorm.leaves.map(\.batchStatistics))
      for (mine, theirs) in zip(all.parameterGradients, dNorm.parameterGradients) {
        #expect(maxRelativeError(mine, theirs) < 4e-6)
      }
      let (dx, expected) = (try #require(all.inputGradients[0]), try #require(dNorm.inputGradients[0]))
      #expect(maxRelativeError(dx, expected) < 2e-6)
      let inference = try harness(MaxPool2d(kernel: 2), [norm.run(mode: .inference).output], [], kernels)
      #expect(fused.run(mode: .inference).output == inference.run(mode: .inference).output)
    }
  }

  /// A weight of 0, or one that is lost beside the bias, leaves no trace of x in y: then x itself is read.
  @Test(arguments: [Float(0), 1e-9, -1e-4])
  func poolingFindsTheGradientOfAWeightThatIsLostBesideTheBias(weight: Float) throws {
    let x = Tensor.random([4, 3, 6, 6], number: 1)
    let dy = Tensor.random([4, 3, 3, 3], number: 2)
    let parameters = [
      Tensor(shape: [3], values: [1, weight, 0.5]), Tensor(shape: [3], values: [0.1, 0.75, -0.1]),
    ]
    let norm = try harness(BatchNorm2d(following: .relu), [x], parameters, .detected)
    let pool = try harness(MaxPool2d(kernel: 2), [norm.run().output], [], .detected).run(outputGradient: dy)
    let expected = norm.run(outputGradient: pool.inputGradients[0])
    let fused = try harness(BatchNorm2d(following: .reluThenMaxPool), [x], parameters, .detected)
    let got = fused.run(outputGradient: dy)
    for (mine, theirs) in zip(got.parameterGradients, expected.parameterGradients) {
      #expect(maxRelativeError(mine, theirs) < 1e-6)
    }
    let (dx, theirs) = (try #require(got.inputGradients[0]), try #require(expected.inputGradients[0]))
    #expect(maxRelativeError(dx, theirs) < 1e-6)
  }

  /// Of four equal pixels the first gets the gradient.
  @Test func theFirstOfEqualsWins() throws {
    var x = Tensor(shape: [2, 1, 2, 4], repeating: 1)
    for index in [2, 3, 6, 7, 10, 11, 14, 15] { x.values[index] = 2 }
    let layer = BatchNorm2d(epsilon: 0, affine: false, following: .reluThenMaxPool)
    let dy = Tensor(shape: [2, 1, 1, 2], values: [5, 1, 5, 3])
    let result = try LayerHarness(layer, inputs: [x]).run(outputGradient: dy)
    #expect(result.output.values == [0, 1, 0, 1])
    // x̂ is −1 and 1, 1/σ is 2, the first pixels of the right windows get g = 1 and 3: Σ g / n = Σ g·x̂ / n = 1/4.
    let left: [Float] = [0, 0]
    let rows: [[Float]] = [[1, -1], [-1, -1], [5, -1], [-1, -1]]
    let expected = rows.flatMap { left + $0 }
    #expect(result.inputGradients[0]?.values == expected)
  }

  @Test func gradientsAreSlopes() throws {
    // Far enough from kinks that no step crosses one.
    let shape: Shape = [3, 2, 4, 6]
    let order = RandomStream(seed: 1, purpose: .test(3)).permutation(count: shape.count)
    let x = Tensor(shape: shape, values: order.map { Float($0) * 0.125 - 9 })
    let parameters = [Tensor(shape: [2], values: [9, 7]), Tensor(shape: [2], values: [0.031, -0.017])]
    let pooled = try LayerHarness(
      BatchNorm2d(following: .reluThenMaxPool), inputs: [x], parameters: parameters)
    #expect(pooled.gradientError(step: 2e-3) < 2e-3)
    let r = Tensor(shape: shape, values: order.reversed().map { $0 % 2 == 0 ? 40 : -40 })
    let added = try LayerHarness(
      BatchNorm2d(following: .addThenReLU), inputs: [x, r], parameters: parameters)
    #expect(added.gradientError() < 1e-3)
  }

  @Test func refusesWhatDoesNotFit() {
    let x = FeatureShape(channels: 2, height: 3, width: 3)
    for (layer, inputs, message) in [
      (
        BatchNorm2d(following: .addThenReLU), [x, FeatureShape(channels: 2)],
        "BatchNorm2d with a residual expects 2 inputs of equal shape, got (2, 3, 3) and (2, 1, 1)"
      ),
      (
        BatchNorm2d(following: .reluThenMaxPool), [FeatureShape(channels: 2, height: 3, width: 1)],
        "BatchNorm2d with max pooling expects at least (2, 2), got (3, 1)"
      ),
    ] {
      do throws(LayerError) {
        _ = try layer.outputShape(of: inputs)
        Issue.record("accepted")
      } catch { #expect(error.description == message) }
    }
  }
}
