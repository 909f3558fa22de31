/// How an array of a network lies in a flat buffer. Files and PyTorch see its plain order only.
package enum ArrayStorage: Hashable, Sendable {
  /// Row by row, as its shape says.
  case plain
  /// Weights (O, I · taps) in panels of 32 output channels, [O/32][taps][I][32], as the kernels read
  /// them (convolution.h): of a convolution taps = kh · kw, of a linear layer that reads (C, H, W)
  /// taps = H · W. O is rounded up to 16 by zeros, so the last panel may be [taps][I][16].
  case panels(taps: Int)

  private static let block = 16
  private static let panel = 32

  /// Floats that an array of this shape takes, zeros included.
  package func count(of shape: Shape) -> Int {
    switch self {
    case .plain: return shape.count
    case .panels:
      let rows = shape[0]
      return rows == 0 ? 0 : (rows + Self.block - 1) / Self.block * Self.block * (shape.count / rows)
    }
  }

  /// The array at `stored`, in the order of its shape.
  package func unpack(_ stored: UnsafePointer<Float>, _ shape: Shape) -> [Float] {
    guard case .panels(let taps) = self else {
      return Array(UnsafeBufferPointer(start: stored, count: shape.count))
    }
    var values = Array(repeating: Float(0), count: shape.count)
    Self.eachElement(shape, taps: taps) { plain, packed in values[plain] = stored[packed] }
    return values
  }

  /// Overwrites `stored` by values in the order of the array's shape, and by zeros.
  package func pack(_ values: [Float], _ shape: Shape, into stored: UnsafeMutablePointer<Float>) {
    precondition(
      values.count == shape.count, "an array \(shape) expects \(shape.count) values, got \(values.count)")
    guard case .panels(let taps) = self else {
      stored.update(from: values, count: values.count)
      return
    }
    stored.update(repeating: 0, count: count(of: shape))
    Self.eachElement(shape, taps: taps) { plain, packed in stored[packed] = values[plain] }
  }

  /// Calls `body` with the place of each element in plain order and in panels.
  private static func eachElement(_ shape: Shape, taps: Int, _ body: (Int, Int) -> Void) {
    let rows = shape[0]
    guard rows > 0 else { return }
    let columns = shape.count / rows
    precondition(columns % taps == 0, "weights \(shape) can't have \(taps) taps")
    let inputs = columns / taps
    let padded = (rows + block - 1) / block * block
    for row in 0..<rows {
      let first = row / panel * panel
      let width = min(panel, padded - first)
      let base = first * columns + row - first
      for input in 0..<inputs {
        for tap in 0..<taps {
          body((row * inputs + input) * taps + tap, base + (tap * inputs + input) * width)
        }
      }
    }
  }
}
