import CKernels

/// What a layer can do with its output in the same pass over memory.
package enum Following: Sendable {
  case nothing
  /// The bits are those of the two layers one by one.
  case relu, relu6, hardswish, silu
  /// y = the layer's output + r with a second input r of y's shape. The bits are those of the layers one by one.
  case add
  /// y = relu(the layer's output + r) with a second input r of y's shape. The bits are those of the layers
  /// one by one.
  case addThenReLU
  /// y = the max of relu(the layer's output) over windows of 2×2 side by side, of which a last odd row or
  /// column is no part. y has the bits of the layers one by one. Backward, which only batch norm does, finds
  /// x − μ of the winners again from y, so that its sums need not read x: weight's gradient and dx differ by
  /// rounding.
  case reluThenMaxPool

  /// What an element-wise layer is when it follows; nil where nobody draws it in.
  package init?(_ layer: any Layer) {
    switch layer {
    case is ReLU: self = .relu
    case is ReLU6: self = .relu6
    case is Hardswish: self = .hardswish
    case is SiLU: self = .silu
    default: return nil
    }
  }

  var adds: Bool { self == .add || self == .addThenReLU }

  var endsInReLU: Bool { self == .relu || self == .addThenReLU || self == .reluThenMaxPool }

  /// The function other than ReLU.
  var function: cnn_activation {
    switch self {
    case .relu6: CNN_RELU6
    case .hardswish: CNN_HARDSWISH
    case .silu: CNN_SILU
    default: CNN_IDENTITY
    }
  }
}
