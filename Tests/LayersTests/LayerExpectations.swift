import Layers
import Tensors
import Testing

extension InstructionSet {
  /// What this CPU can run; `ref` comes first.
  static var available: [InstructionSet] { allCases.filter { $0 <= detected } }
}

/// Equal values, where NaN equals NaN; shapes may differ in how they write 1s.
func expectSame(_ a: Tensor, _ b: Tensor, sourceLocation: SourceLocation = #_sourceLocation) {
  let same =
    a.values.count == b.values.count
    && zip(a.values, b.values).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }
  #expect(same, "\(a.shape) against \(b.shape)", sourceLocation: sourceLocation)
}

/// |⟨A x, dy⟩ − ⟨x, Aᵀ dy⟩| / (|A x| · |dy|) of a linear layer at random inputs of these shapes.
func adjointError(of layer: any Layer, inputs shapes: [Shape]) throws -> Double {
  let inputs = shapes.enumerated().map { Tensor.random($1, number: 300 + $0) }
  let harness = try LayerHarness(layer, inputs: inputs)
  let output = harness.outputShape
  let dy = Tensor.random([harness.images, output.channels, output.height, output.width], number: 400)
  let result = harness.run(outputGradient: dy)
  func dot(_ a: Tensor, _ b: Tensor) -> Double {
    zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
  let back = zip(inputs, result.inputGradients).reduce(0.0) { sum, pair in
    sum + (pair.1.map { dot(pair.0, $0) } ?? .nan)
  }
  let scale = (dot(result.output, result.output) * dot(dy, dy)).squareRoot()
  return abs(dot(result.output, dy) - back) / scale
}
