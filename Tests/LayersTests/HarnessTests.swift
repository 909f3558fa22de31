import Layers
import Tensors
import Testing

/// The harness must catch what it is for: layers that are wrong in one way each.
@Suite struct HarnessTests {
  /// y = scale · x², with faults to plant.
  struct Square: Layer {
    enum Fault { case none, gradient, writesOutside, leavesOutput, readsInput, fillsPadding, sharesLeaf }
    var fault = Fault.none

    var kind: String { "Square" }
    func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }
    func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
      [ArrayDeclaration("scale", [1], .weight, .plain, .ones)]
    }
    func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
      var needs = MemoryNeeds()
      needs.backwardReadsInput = fault != .readsInput
      return needs
    }
    func forward(_ pass: borrowing ForwardPass) {
      let count = pass.wave.images * pass.outputShape.blockedCount
      for i in 0..<(fault == .leavesOutput ? count - 1 : count) {
        pass.output[i] = pass.parameters[0][0] * pass.inputs[0][i] * pass.inputs[0][i]
      }
      if fault == .writesOutside { pass.output[count] = 0 }
      if fault == .fillsPadding { pass.output[count - 1] = 1e-30 }
    }
    func backwardParameters(
      _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
    ) {
      // One block of channels: the images lie one behind another.
      let image = pass.inputShapes[0].blockedCount
      let images = pass.wave.microbatches[fault == .sharesLeaf ? 0 : microbatch]
      gradients[0].update(repeating: 0, count: 16)
      for i in (images.lowerBound * image)..<(images.upperBound * image) {
        gradients[0][0] += pass.inputs[0][i] * pass.inputs[0][i] * pass.outputGradient[i]
      }
    }
    func backwardData(_ pass: borrowing BackwardPass) {
      let factor: Float = fault == .gradient ? 2.01 : 2
      guard let dx = pass.inputGradients[0] else { return }
      for i in 0..<(pass.wave.images * pass.outputShape.blockedCount) {
        dx[i] = factor * pass.parameters[0][0] * pass.inputs[0][i] * pass.outputGradient[i]
      }
    }
  }

  @Test func acceptsARightGradientAndRefusesOneThatIsHalfAPercentOff() throws {
    #expect(try gradientError(of: Square(), inputs: [[2, 3, 2, 2]]) < 1e-4)
    #expect(try gradientError(of: Square(fault: .gradient), inputs: [[2, 3, 2, 2]]) > 1e-3)
    #expect(try gradientError(of: Square(), inputs: [[4, 3, 2, 2]], microbatches: [1, 3]) < 1e-4)
    #expect(
      try gradientError(of: Square(fault: .sharesLeaf), inputs: [[4, 3, 2, 2]], microbatches: [1, 3]) > 1e-3)
  }

  @Test func seesAnOutputThatIsNotOverwritten() throws {
    let x = Tensor.random([2, 16, 2, 2], number: 1)
    let y = try LayerHarness(Square(fault: .leavesOutput), inputs: [x]).run().output
    #expect(y.values.filter(\.isNaN).count == 1)
  }

  @Test func seesABackwardThatReadsWhatItDidNotDeclare() throws {
    let x = Tensor.random([2, 3, 2, 2], number: 1)
    let harness = try LayerHarness(Square(fault: .readsInput), inputs: [x])
    withKnownIssue {
      #expect(harness.run(outputGradient: x).parameterGradients[0].values[0].isNaN)
    } matching: {
      "\($0)".contains("dx (3, 2, 2) isn't zero in lanes")
    }
  }

  @Test(arguments: [
    (Square.Fault.writesOutside, "wrote outside a block"), (.fillsPadding, "isn't zero in lanes of channels"),
  ])
  func seesWritesToWhereNothingBelongs(fault: Square.Fault, message: String) throws {
    let x = Tensor.random([2, 3, 2, 2], number: 1)
    let harness = try LayerHarness(Square(fault: fault), inputs: [x])
    withKnownIssue {
      _ = harness.run()
    } matching: {
      "\($0)".contains(message)
    }
  }

  @Test func convertsBetweenTheOrdersOfAxes() throws {
    let x = Tensor(shape: [2, 3, 1, 2], values: (0..<12).map(Float.init))
    #expect(x.planar == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11])
    #expect(x.blocked.count == 2 * 2 * 16 && x.blocked.prefix(4) == [0, 2, 4, 0])
    #expect(x.blocked[16..<19] == [1, 3, 5] && x.blocked[32..<35] == [6, 8, 10])
    #expect(x.blocked.nchw(images: 2, FeatureShape(channels: 3, height: 1, width: 2)) == x)
    // A second block of channels begins behind all images of the first.
    let wide = Tensor.random([2, 17, 1, 1], number: 1)
    #expect(wide.blocked[32] == wide.values[16] && wide.blocked[48] == wide.values[33])
    #expect(wide.blocked.nchw(images: 2, FeatureShape(channels: 17)) == wide)
    let y = try LayerHarness(Square(), inputs: [x]).run(mode: .inference).output
    #expect(y.values == x.values.map { $0 * $0 })
  }
}
