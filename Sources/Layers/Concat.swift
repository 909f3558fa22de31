import CKernels
import Tensors

/// Inputs one behind the other along the channels: (C₀, H, W), (C₁, H, W), … → (ΣCᵢ, H, W).
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

  package func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    var needs = MemoryNeeds()
    // Whole blocks: the output's first then are those of input 0.
    needs.continuesInput = inputs.count > 1 && inputs[0].channels % 16 == 0
    return needs
  }

  package func forward(_ pass: borrowing ForwardPass) {
    let pixels = pass.wave.images * pass.outputShape.area
    var channel = 0
    for (x, shape) in zip(pass.inputs, pass.inputShapes) {
      // Input 0 may stand there already.
      if channel > 0 || x != UnsafePointer(pass.output) {
        Self.move(
          to: pass.output, channel, from: x, 0, count: shape.channels, pixels: pixels, kernels: pass.kernels)
      }
      channel += shape.channels
    }
  }

  /// `dxᵢ` are the channels of dy where xᵢ went.
  package func backwardData(_ pass: borrowing BackwardPass) {
    let pixels = pass.wave.images * pass.outputShape.area
    var channel = 0
    for (dx, shape) in zip(pass.inputGradients, pass.inputShapes) {
      if let dx, channel > 0 || UnsafePointer(dx) != pass.outputGradient {
        Self.move(
          to: dx, 0, from: pass.outputGradient, channel, count: shape.channels, pixels: pixels,
          kernels: pass.kernels)
      }
      channel += shape.channels
    }
  }

  /// Copies `count` channels, piece by piece: a piece ends where a block of x or of y ends. Whoever is the
  /// first in a block of y zeroes the lanes behind it too.
  private static func move(
    to y: UnsafeMutablePointer<Float>, _ firstTo: Int, from x: UnsafePointer<Float>, _ firstFrom: Int,
    count: Int, pixels: Int, kernels: InstructionSet
  ) {
    let table = cnn_lanes_kernels_for(kernels.kernelTable).pointee
    var done = 0
    while done < count {
      let (to, from) = (firstTo + done, firstFrom + done)
      let piece = min(16 - to % 16, 16 - from % 16, count - done)
      table.move(
        y + to / 16 * pixels * 16, x + from / 16 * pixels * 16, pixels, to % 16, from % 16, piece,
        to % 16 == 0)
      done += piece
    }
  }
}
