import Layers
import Tensors
import Testing

@Suite struct AvgPool2dTests {
  @Test func equalsPyTorch() throws { try expectPoolingEqualsPyTorch(kind: "AvgPool2d", bound: 2e-7) }

  @Test func countsWindowsAsPyTorch() throws { try expectShapeRuleEqualsPyTorch(kind: "AvgPool2d") }

  @Test func gradientIsTheSlope() throws {
    for layer in [
      AvgPool2d(kernel: 2),
      AvgPool2d(kernel: 3, stride: 2, padding: 1, ceilMode: true, countIncludePad: false),
    ] {
      #expect(try gradientError(of: layer, inputs: [[2, 2, 7, 9]]) < 1e-4)
    }
  }

  @Test func aConstantStaysWherePaddingDoesNotCount() throws {
    let x = Tensor(shape: [3, 2, 7, 21], repeating: 1.5)
    for ceilMode in [false, true] {
      let layer = AvgPool2d(kernel: 4, stride: 3, padding: 2, ceilMode: ceilMode, countIncludePad: false)
      #expect(try LayerHarness(layer, inputs: [x]).run().output.values.allSatisfy { $0 == 1.5 })
      let counting = AvgPool2d(kernel: 4, stride: 3, padding: 2, ceilMode: ceilMode)
      #expect(try LayerHarness(counting, inputs: [x]).run().output.values[0] == 0.375)
    }
  }

  /// ⟨A x, dy⟩ = ⟨x, Aᵀ dy⟩.
  @Test func backwardIsTheAdjoint() throws {
    let layer = AvgPool2d(kernel: Size2D(3, 2), stride: Size2D(2, 3), padding: 1, ceilMode: true)
    #expect(try adjointError(of: layer, inputs: [[3, 2, 8, 17]]) < 1e-6)
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    for layer in [
      AvgPool2d(kernel: 2), AvgPool2d(kernel: 3, stride: 2, padding: 1),
      AvgPool2d(kernel: Size2D(2, 4), stride: 1, padding: 1, ceilMode: true, countIncludePad: false),
    ] {
      try expectMicrobatchesIndependent(of: layer, inputs: [[6, 19, 7, 9]])
      try expectChannelsIndependent(of: layer, height: 8, width: 11)
    }
  }
}
