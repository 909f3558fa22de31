/// A dense float array with a shape: what files, tests and set-up work with. The training step works
/// on memory that a plan has laid out instead.
package struct Tensor: Equatable, Sendable {
  package var shape: Shape
  package var values: [Float]

  package init(shape: Shape, values: [Float]) {
    precondition(
      shape.count == values.count, "shape \(shape) expects \(shape.count) values, got \(values.count)")
    self.shape = shape
    self.values = values
  }

  package init(shape: Shape, repeating value: Float = 0) {
    self.init(shape: shape, values: Array(repeating: value, count: shape.count))
  }
}
