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

  /// The values of a batch (N, C, H, W) or (N, F) as layers see them, (C/16, N, H, W, 16), with zeros in
  /// the lanes of channels that don't exist.
  var blocked: [Float] {
    let feature = FeatureShape(ofBatch: self)
    var result = Array(repeating: Float(0), count: shape[0] * feature.blockedCount)
    eachElement(images: shape[0], feature) { result[$1] = values[$0] }
    return result
  }

  /// Some of the images of a batch.
  func images(_ range: Range<Int>) -> Tensor {
    let count = shape.count / shape[0]
    return Tensor(
      shape: Shape([range.count] + shape.dimensions.dropFirst()),
      values: Array(values[(range.lowerBound * count)..<(range.upperBound * count)]))
  }

  /// The values of a batch (N, C, H, W) as the network's images lie, (C, N, H, W).
  var planar: [Float] {
    let feature = FeatureShape(ofBatch: self)
    var result: [Float] = []
    for c in 0..<feature.channels {
      for n in 0..<shape[0] {
        let plane = (n * feature.channels + c) * feature.area
        result += values[plane..<(plane + feature.area)]
      }
    }
    return result
  }
}

extension Array<Float> {
  /// Blocked values as a batch (N, C, H, W).
  func nchw(images: Int, _ shape: FeatureShape) -> Tensor {
    precondition(count == images * shape.blockedCount, "\(images) images \(shape) don't fill \(count) floats")
    var result = Tensor(shape: [images, shape.channels, shape.height, shape.width])
    eachElement(images: images, shape) { result.values[$0] = self[$1] }
    return result
  }
}

/// Calls `body` with the places of each element in (N, C, H, W) and in (C/16, N, H, W, 16).
private func eachElement(images: Int, _ shape: FeatureShape, _ body: (_ nchw: Int, _ blocked: Int) -> Void) {
  for n in 0..<images {
    for c in 0..<shape.channels {
      for p in 0..<shape.area {
        body(
          (n * shape.channels + c) * shape.area + p, ((c / 16 * images + n) * shape.area + p) * 16 + c % 16)
      }
    }
  }
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
