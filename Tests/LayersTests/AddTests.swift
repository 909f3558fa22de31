import Layers
import Tensors
import Testing

@Suite struct AddTests {
  @Test(arguments: InstructionSet.available)
  func equalsPyTorch(kernels: InstructionSet) throws {
    let golden = try GoldenFile("elementwise")
    for name in ["add_two", "add_two_relu", "add_three", "add_three_relu"] {
      let count = name.hasPrefix("add_two") ? 2 : 3
      let inputs = try (0..<count).map { try golden.tensor("\(name)/x\($0)") }
      let harness = try LayerHarness(Add(activation: name.hasSuffix("relu") ? .relu : nil), inputs: inputs)
      harness.kernels = kernels
      for inPlace in [false, true] {
        harness.inPlace = inPlace
        let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
        expectSame(result.output, try golden.tensor("\(name)/y"))
        for index in 0..<count {
          expectSame(try #require(result.inputGradients[index]), try golden.tensor("\(name)/dx\(index)"))
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func fusedReLUEqualsThePairBitByBit(kernels: InstructionSet) throws {
    for width in 1...40 {
      let inputs = (0..<3).map { Tensor.random([2, 1, 3, width], number: 10 * width + $0) }
      let dy = Tensor.random([2, 1, 3, width], number: 5)
      let plain = try LayerHarness(Add(), inputs: inputs)
      let fused = try LayerHarness(Add(activation: .relu), inputs: inputs)
      (plain.kernels, fused.kernels) = (kernels, kernels)
      let relu = try LayerHarness(ReLU(), inputs: [plain.run().output]).run(outputGradient: dy)
      let result = fused.run(outputGradient: dy)
      #expect(result.output == relu.output)
      #expect(result.inputGradients == Array(repeating: relu.inputGradients[0], count: 3))
    }
  }

  @Test func gradientIsTheSlope() throws {
    #expect(try gradientError(of: Add(), inputs: [[2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5]]) < 1e-4)
  }

  @Test func backwardIsTheAdjoint() throws {
    #expect(try adjointError(of: Add(), inputs: [[3, 2, 5, 7], [3, 2, 5, 7]]) < 1e-6)
  }

  @Test func skipsGradientsThatNobodyWants() throws {
    let inputs = (0..<2).map { Tensor.random([1, 2, 3, 3], number: $0) }
    for activation in [nil, Activation.relu] {
      let harness = try LayerHarness(Add(activation: activation), inputs: inputs)
      let dy = Tensor.random([1, 2, 3, 3], number: 2)
      let both = harness.run(outputGradient: dy).inputGradients
      let second = harness.run(outputGradient: dy, inputGradientsWanted: [false, true])
      #expect(second.inputGradients == [nil, both[1]])
      let first = harness.run(outputGradient: dy, inputGradientsWanted: [true, false])
      #expect(first.inputGradients == [both[0], nil])
    }
  }

  @Test func saysWhatItExpects() {
    let shape = FeatureShape(channels: 2, height: 3, width: 3)
    for (inputs, message) in [
      ([shape], "Add expects at least 2 inputs, got 1"),
      ([shape, FeatureShape(channels: 2)], "Add expects inputs of equal shape, got (2, 3, 3) and (2, 1, 1)"),
    ] {
      do throws(LayerError) {
        _ = try Add().outputShape(of: inputs)
        Issue.record("accepted")
      } catch { #expect(error.description == message) }
    }
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    for activation in [nil, Activation.relu] {
      let layer = Add(activation: activation)
      try expectMicrobatchesIndependent(of: layer, inputs: [[6, 19, 3, 4], [6, 19, 3, 4]])
      try expectChannelsIndependent(of: layer, inputs: 2, height: 5, width: 3)
    }
  }
}
