import Layers
import Tensors
import Testing

@Suite struct FlattenTests {
  private struct Hyper: Decodable {}

  @Test func agreesWithPyTorchOnEveryInstructionSet() throws {
    let golden = try GoldenFile("flatten")
    for (name, _) in try golden.cases(Hyper.self) {
      let harness = try LayerHarness(Flatten(), inputs: [try golden.tensor("\(name)/x")])
      for kernels in InstructionSet.allCases where kernels <= .detected {
        harness.kernels = kernels
        let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
        let expected = try golden.tensor("\(name)/y")
        #expect(Array(result.output.shape.dimensions.prefix(2)) == expected.shape.dimensions, "\(name)")
        #expect(result.output.values == expected.values, "\(name): y on \(kernels)")
        let dx = try #require(result.inputGradients[0])
        #expect(dx.values == (try golden.tensor("\(name)/dx").values), "\(name): dx on \(kernels)")
      }
    }
  }

  /// A permutation: going back from y gives x again, whatever the extents.
  @Test func backwardUndoesForward() throws {
    for shape in [[1, 1, 1, 1], [16, 3, 16, 1], [17, 2, 5, 7], [3, 40, 1, 1], [33, 1, 6, 6]] as [Shape] {
      let x = Tensor.random(shape, number: 1)
      let harness = try LayerHarness(Flatten(), inputs: [x])
      let y = harness.run().output
      #expect(harness.run(outputGradient: y).inputGradients == [x])
    }
  }

  @Test func hasTheGradientOfItsForward() throws {
    #expect(try gradientError(of: Flatten(), inputs: [[3, 2, 4, 3]]) < 1e-4)
  }

  @Test func microbatchesDoNotMix() throws {
    try expectMicrobatchesIndependent(of: Flatten(), inputs: [[6, 19, 3, 5]])
  }
}
