import CKernels
import Tensors

/// `y = x₀ + x₁ + …`, summed in this order, for two or more inputs of equal shape.
package struct Add: Layer {
  /// What follows in the same pass over memory; the bits are those of the two layers one by one.
  package var activation: Activation?

  package init(activation: Activation? = nil) { self.activation = activation }

  package var kind: String { "Add" }
  package var inputCount: Int? { nil }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard inputs.count >= 2 else { throw LayerError("Add expects at least 2 inputs, got \(inputs.count)") }
    guard inputs.allSatisfy({ $0 == inputs[0] }) else {
      throw LayerError(
        "Add expects inputs of equal shape, got \(inputs.map(\.description).joined(separator: " and "))")
    }
    return inputs[0]
  }

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsOutput = activation == .relu
    needs.worksInPlace = true
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    let add = cnn_elementwise_kernels_for(pass.kernels.kernelTable).pointee.add
    let count = pass.wave.images * pass.outputShape.blockedCount
    let last = pass.inputs.count - 1
    for index in 1...last {
      let sum = index == 1 ? pass.inputs[0] : UnsafePointer(pass.output)
      add?(pass.output, sum, pass.inputs[index], count, index == last && activation == .relu)
    }
  }

  /// `dxᵢ = dy`, with a fused ReLU gated by y > 0.
  package func backwardData(_ pass: borrowing BackwardPass) {
    let gate = cnn_elementwise_kernels_for(pass.kernels.kernelTable).pointee.relu_gradient
    let count = pass.wave.images * pass.outputShape.blockedCount
    // dx₀ comes last, since it may lie where dy lies.
    for dx in pass.inputGradients.reversed() {
      guard let dx else { continue }
      if activation == .relu {
        gate?(dx, pass.outputGradient, pass.output, count)
      } else if UnsafePointer(dx) != pass.outputGradient {
        dx.update(from: pass.outputGradient, count: count)
      }
    }
  }
}
