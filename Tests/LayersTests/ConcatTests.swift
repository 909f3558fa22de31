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

  /// Channels that begin and end in the middle of blocks, and pixels at both ends of memory.
  @Test(arguments: InstructionSet.available)
  func putsEveryChannelInItsPlace(kernels: InstructionSet) throws {
    for (number, counts) in [[3, 5], [1, 16, 1], [17, 30, 2, 33], [16, 32], [5, 5, 5, 5, 5], [40, 7]]
      .enumerated()
    {
      for images in [1, 3] {
        for area: Shape in [[1, 1], [1, 2], [5, 3]] {
          let inputs = counts.enumerated().map {
            Tensor.random([images, $1, area[0], area[1]], number: 30 * number + $0)
          }
          let dy = Tensor.random([images, counts.reduce(0, +), area[0], area[1]], number: 700 + number)
          let harness = try LayerHarness(Concat(), inputs: inputs)
          harness.kernels = kernels
          let result = harness.run(outputGradient: dy)
          let output = (0..<dy.shape[1]).map { result.output.channel($0) }
          #expect(output == inputs.flatMap { x in (0..<x.shape[1]).map { x.channel($0) } })
          let dx = result.inputGradients.compactMap(\.self)
          #expect(
            dx.flatMap { x in (0..<x.shape[1]).map { x.channel($0) } }
              == (0..<dy.shape[1]).map { dy.channel($0) })
        }
      }
    }
  }

  @Test func microbatchesDoNotMix() throws {
    try expectMicrobatchesIndependent(of: Concat(), inputs: [[6, 19, 3, 5], [6, 2, 3, 5], [6, 16, 3, 5]])
  }
}
