import Layers
import Tensors
import Testing

@Suite struct AdaptiveAvgPool2dTests {
  @Test func equalsPyTorch() throws { try expectPoolingEqualsPyTorch(kind: "AdaptiveAvgPool2d", bound: 3e-7) }

  @Test func gradientIsTheSlope() throws {
    for output: Size2D in [1, Size2D(2, 5)] {
      #expect(try gradientError(of: AdaptiveAvgPool2d(output: output), inputs: [[2, 2, 7, 9]]) < 1e-4)
    }
  }

  @Test func backwardIsTheAdjoint() throws {
    for output: Size2D in [1, Size2D(3, 20), Size2D(1, 4)] {
      #expect(try adjointError(of: AdaptiveAvgPool2d(output: output), inputs: [[3, 2, 8, 17]]) < 1e-6)
    }
  }

  @Test func aConstantStays() throws {
    let x = Tensor(shape: [5, 2, 7, 19], repeating: 0.1)
    for output: Size2D in [1, 3, Size2D(9, 19)] {
      let y = try LayerHarness(AdaptiveAvgPool2d(output: output), inputs: [x]).run().output
      #expect(y.values.allSatisfy { $0 == 0.1 })
    }
  }

  @Test func refusesAnEmptyOutput() {
    #expect(throws: LayerError.self) {
      try AdaptiveAvgPool2d(output: 0).outputShape(of: [FeatureShape(channels: 1, height: 3, width: 3)])
    }
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    for output: Size2D in [1, Size2D(3, 2), Size2D(9, 13)] {
      try expectMicrobatchesIndependent(of: AdaptiveAvgPool2d(output: output), inputs: [[6, 19, 7, 9]])
      try expectChannelsIndependent(of: AdaptiveAvgPool2d(output: output), height: 8, width: 11)
    }
  }
}
