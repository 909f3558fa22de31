/// What a layer can do with its output in the same pass over memory.
package enum Following: Sendable {
  case nothing
  /// The bits are those of the two layers one by one.
  case relu
  /// y = relu(the layer's output + r) with a second input r of y's shape. The bits are those of the layers
  /// one by one.
  case addThenReLU
  /// y = the max of relu(the layer's output) over windows of 2×2 side by side, of which a last odd row or
  /// column is no part. y has the bits of the layers one by one. Backward, which only batch norm does, finds
  /// x − μ of the winners again from y, so that its sums need not read x: weight's gradient and dx differ by
  /// rounding.
  case reluThenMaxPool
}
