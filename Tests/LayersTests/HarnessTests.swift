import Layers
import Tensors
import Testing

/// The harness must catch what it is for: layers that are wrong in one way each.
@Suite struct HarnessTests {
  /// y = scale · x², with faults to plant.
  struct Square: Layer {
    enum Fault { case none, gradient, writesOutside, leavesOutput, readsInput }
    var fault = Fault.none

    var kind: String { "Square" }
    func outputShape(of inputs: [FeatureShape]) -> FeatureShape { inputs[0] }
    func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
      [ArrayDeclaration("scale", [1], .weight, .ones)]
    }
    func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds {
      var needs = MemoryNeeds()
      needs.backwardReadsInput = fault != .readsInput
      return needs
    }
    func forward(_ pass: borrowing ForwardPass) {
      let count = pass.images * pass.outputShape.count
      for i in 0..<(fault == .leavesOutput ? count - 1 : count) {
        pass.output[i] = pass.parameters[0][0] * pass.inputs[0][i] * pass.inputs[0][i]
      }
      if fault == .writesOutside { pass.output[count] = 0 }
    }
    func backward(_ pass: borrowing BackwardPass) {
      var sum = 0.0 as Float
      for i in 0..<(pass.images * pass.outputShape.count) {
        let (x, dy) = (pass.inputs[0][i], pass.outputGradient[i])
        let factor: Float = fault == .gradient ? 2.01 : 2
        if let dx = pass.inputGradients[0] { dx[i] = factor * pass.parameters[0][0] * x * dy }
        sum += x * x * dy
      }
      pass.parameterGradients[0][0] = sum
    }
  }

  @Test func acceptsARightGradientAndRefusesOneThatIsHalfAPercentOff() throws {
    #expect(try gradientError(of: Square(), inputs: [[2, 3, 2, 2]]) < 1e-4)
    #expect(try gradientError(of: Square(fault: .gradient), inputs: [[2, 3, 2, 2]]) > 1e-3)
  }

  @Test func seesAnOutputThatIsNotOverwritten() throws {
    let x = Tensor.random([2, 3, 2, 2], number: 1)
    let y = try LayerHarness(Square(fault: .leavesOutput), inputs: [x]).run().output
    #expect(y.values.filter(\.isNaN).count == 1)
  }

  @Test func seesABackwardThatReadsWhatItDidNotDeclare() throws {
    let x = Tensor.random([2, 3, 2, 2], number: 1)
    let result = try LayerHarness(Square(fault: .readsInput), inputs: [x]).run(outputGradient: x)
    #expect(result.parameterGradients[0].values[0].isNaN)
  }

  @Test func seesAWriteOutsideABlock() throws {
    let x = Tensor.random([2, 3, 2, 2], number: 1)
    let harness = try LayerHarness(Square(fault: .writesOutside), inputs: [x])
    withKnownIssue { _ = harness.run() }
  }

  @Test func convertsBetweenTheOrdersOfAxes() throws {
    let x = Tensor(shape: [2, 3, 1, 2], values: (0..<12).map(Float.init))
    #expect(x.channelMajor == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11])
    #expect(x.channelMajor.nchw(images: 2, FeatureShape(channels: 3, height: 1, width: 2)) == x)
    let y = try LayerHarness(Square(), inputs: [x]).run(mode: .inference).output
    #expect(y.values == x.values.map { $0 * $0 })
  }
}
