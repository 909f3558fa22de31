import Layers
import Tensors
import Testing

@Suite struct ReLUTests {
  @Test(arguments: InstructionSet.available)
  func equalsPyTorch(kernels: InstructionSet) throws {
    let golden = try GoldenFile("elementwise")
    let harness = try LayerHarness(ReLU(), inputs: [try golden.tensor("relu/x0")])
    harness.kernels = kernels
    for inPlace in [false, true] {
      harness.inPlace = inPlace
      let result = harness.run(outputGradient: try golden.tensor("relu/dy"))
      expectSame(result.output, try golden.tensor("relu/y"))
      expectSame(try #require(result.inputGradients[0]), try golden.tensor("relu/dx0"))
      #expect(result.output.values[0].isNaN)
    }
  }

  @Test func gradientIsTheSlopeAwayFromZero() throws {
    var x = Tensor.random([3, 2, 5, 5], number: 1)
    for index in x.values.indices { x.values[index] += x.values[index] < 0 ? -0.1 : 0.1 }
    #expect(try LayerHarness(ReLU(), inputs: [x]).gradientError() < 1e-4)
  }

  @Test func doingItTwiceChangesNothing() throws {
    let once = try LayerHarness(ReLU(), inputs: [.random([2, 3, 7, 1], number: 1)]).run().output
    #expect(try LayerHarness(ReLU(), inputs: [once]).run().output == once)
    #expect(once.values.allSatisfy { $0 >= 0 } && once.values.contains { $0 > 0 })
  }

  /// Each count has another tail; the kernels must agree with `ref` on all.
  @Test func everyInstructionSetGivesTheSameBits() throws {
    for count in 1...70 {
      let harness = try LayerHarness(ReLU(), inputs: [.random([1, 1, 1, count], number: count)])
      let results = InstructionSet.available.map { kernels in
        harness.kernels = kernels
        return harness.run(outputGradient: .random([1, 1, 1, count], number: 80 + count))
      }
      for result in results {
        #expect(result.output == results[0].output && result.inputGradients == results[0].inputGradients)
      }
    }
  }

  @Test func skipsTheGradientThatNobodyWants() throws {
    let harness = try LayerHarness(ReLU(), inputs: [.random([1, 2, 3, 3], number: 1)])
    let result = harness.run(outputGradient: .random([1, 2, 3, 3], number: 2), inputGradientsWanted: [false])
    #expect(result.inputGradients == [nil])
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    try expectMicrobatchesIndependent(of: ReLU(), inputs: [[6, 19, 3, 4]])
    try expectChannelsIndependent(of: ReLU(), height: 5, width: 3)
  }
}
