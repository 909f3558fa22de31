/// Inputs one behind the other along the channels: (C₀, N, H, W), (C₁, N, H, W), … → (ΣCᵢ, N, H, W).
/// Channel-major, each input is one block of the output.
package struct Concat: Layer {
  package init() {}

  package var kind: String { "Concat" }
  package var inputCount: Int? { nil }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard !inputs.isEmpty else { throw LayerError("Concat expects at least 1 input, got none") }
    guard inputs.allSatisfy({ $0.height == inputs[0].height && $0.width == inputs[0].width }) else {
      throw LayerError(
        "Concat expects inputs of equal height and width, got "
          + inputs.map(\.description).joined(separator: " and "))
    }
    return FeatureShape(
      channels: inputs.reduce(0) { $0 + $1.channels }, height: inputs[0].height, width: inputs[0].width)
  }

  package func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds { MemoryNeeds() }

  package func forward(_ pass: borrowing ForwardPass) {
    var block = pass.output
    for (input, shape) in zip(pass.inputs, pass.inputShapes) {
      block.update(from: input, count: pass.images * shape.count)
      block += pass.images * shape.count
    }
  }

  /// `dxᵢ` is the block of dy where xᵢ went.
  package func backward(_ pass: borrowing BackwardPass) {
    var block = pass.outputGradient
    for (dx, shape) in zip(pass.inputGradients, pass.inputShapes) {
      dx?.update(from: block, count: pass.images * shape.count)
      block += pass.images * shape.count
    }
  }
}
