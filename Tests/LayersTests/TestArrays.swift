import Layers
import Tensors

extension FeatureShape {
  /// Of a batch (N, C, H, W) or (N, F).
  init(ofBatch tensor: Tensor) {
    let shape = tensor.shape
    precondition(shape.rank == 4 || shape.rank == 2, "a batch expects (N, C, H, W) or (N, F), got \(shape)")
    self =
      shape.rank == 4
      ? .init(channels: shape[1], height: shape[2], width: shape[3]) : .init(channels: shape[1])
  }
}

extension Tensor {
  /// Uniform in [−1, 1); equal for equal `number`.
  static func random(_ shape: Shape, number: Int) -> Tensor {
    let stream = RandomStream(seed: 99, purpose: .test(number))
    return Tensor(shape: shape, values: (0..<shape.count).map { 2 * stream.uniform(at: $0) - 1 })
  }

  /// The values of a batch (N, C, H, W) or (N, F) in the order (C, N, H, W).
  var channelMajor: [Float] {
    let feature = FeatureShape(ofBatch: self)
    return swappingOuterAxes(values, shape[0], feature.channels, feature.area)
  }
}

extension Array<Float> {
  /// Channel-major values as a batch (N, C, H, W).
  func nchw(images: Int, _ shape: FeatureShape) -> Tensor {
    Tensor(
      shape: [images, shape.channels, shape.height, shape.width],
      values: swappingOuterAxes(self, shape.channels, images, shape.area))
  }
}

/// (A, B, inner) → (B, A, inner).
private func swappingOuterAxes(_ values: [Float], _ a: Int, _ b: Int, _ inner: Int) -> [Float] {
  var result: [Float] = []
  result.reserveCapacity(values.count)
  for j in 0..<b {
    for i in 0..<a {
      result += values[((i * b + j) * inner)..<((i * b + j + 1) * inner)]
    }
  }
  return result
}

/// max |a − b| / max |b|: `b` is what is expected. Infinite where anything isn't finite.
func maxRelativeError(_ a: [Float], _ b: [Float]) -> Double {
  precondition(a.count == b.count, "two arrays to compare have \(a.count) and \(b.count) elements")
  var error = 0.0
  var largest = 0.0
  for (x, y) in zip(a, b) {
    guard x.isFinite && y.isFinite else { return .infinity }
    error = max(error, abs(Double(x) - Double(y)))
    largest = max(largest, abs(Double(y)))
  }
  return error / max(largest, .leastNormalMagnitude)
}

/// Shapes may differ in how they write 1s, (N, F) against (N, F, 1, 1), but not in count.
func maxRelativeError(_ a: Tensor, _ b: Tensor) -> Double { maxRelativeError(a.values, b.values) }
