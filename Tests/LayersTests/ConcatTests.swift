import Layers
import Tensors
import Testing

@Suite struct ConcatTests {
  @Test func equalsPyTorch() throws {
    let golden = try GoldenFile("elementwise")
    for (name, count) in [("concat_two", 2), ("concat_three", 3)] {
      let inputs = try (0..<count).map { try golden.tensor("\(name)/x\($0)") }
      let result = try LayerHarness(Concat(), inputs: inputs).run(
        outputGradient: try golden.tensor("\(name)/dy"))
      expectSame(result.output, try golden.tensor("\(name)/y"))
      for index in 0..<count {
        expectSame(try #require(result.inputGradients[index]), try golden.tensor("\(name)/dx\(index)"))
      }
    }
  }

  @Test func gradientIsTheSlope() throws {
    #expect(try gradientError(of: Concat(), inputs: [[2, 3, 4, 5], [2, 1, 4, 5]]) < 1e-4)
  }

  @Test func backwardIsTheAdjoint() throws {
    #expect(try adjointError(of: Concat(), inputs: [[3, 2, 5, 7], [3, 4, 5, 7], [3, 1, 5, 7]]) < 1e-6)
  }

  @Test func skipsGradientsThatNobodyWants() throws {
    let inputs = [Tensor.random([2, 1, 3, 3], number: 1), .random([2, 2, 3, 3], number: 2)]
    let dy = Tensor.random([2, 3, 3, 3], number: 3)
    let harness = try LayerHarness(Concat(), inputs: inputs)
    let both = harness.run(outputGradient: dy).inputGradients
    #expect(
      harness.run(outputGradient: dy, inputGradientsWanted: [false, true]).inputGradients == [nil, both[1]])
  }

  @Test func saysWhatItExpects() {
    let shapes = [
      FeatureShape(channels: 2, height: 3, width: 3), FeatureShape(channels: 2, height: 3, width: 4),
    ]
    do throws(LayerError) {
      _ = try Concat().outputShape(of: shapes)
      Issue.record("accepted")
    } catch {
      #expect(
        error.description == "Concat expects inputs of equal height and width, got (2, 3, 3) and (2, 3, 4)")
    }
    #expect(throws: LayerError.self) { try Concat().outputShape(of: []) }
  }
}
