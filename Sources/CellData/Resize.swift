import CImageCodecs

/// Bilinear resizing with antialiasing: each output is a weighted mean of the inputs under a triangle
/// whose half-width is one input pixel, or one output pixel where the image shrinks.
///
/// y[i] = Σ_t w(t) x[t] / Σ_t w(t),  w(t) = max(0, 1 − |t + ½ − (i + ½)·s| / max(1, s)),  s = old / new
///
/// along rows, then along columns, with 8 bits between them and weights in fixed point of 22 bits, as
/// Pillow's `Image.resize(…, BILINEAR)` and torchvision with `antialias=True` compute it.
package enum Resize {
  /// The extent of an image whose shorter side is made `shorter`, in Python's words
  /// `max(shorter, round(w * k)), max(shorter, round(h * k))` with `k = shorter / min(w, h)`.
  package static func extent(width: Int, height: Int, shorter: Int) -> (width: Int, height: Int) {
    let factor = Double(shorter) / Double(min(width, height))
    func scaled(_ side: Int) -> Int { max(shorter, Int((Double(side) * factor).rounded(.toNearestOrEven))) }
    return (scaled(width), scaled(height))
  }

  package static func resize(_ image: PixelImage, width: Int, height: Int) -> PixelImage {
    precondition(width > 0 && height > 0, "an image is resized to at least 1 × 1, not \(width) × \(height)")
    var bytes = image.bytes
    if width != image.width {
      let taps = Taps(from: image.width, to: width)
      bytes = filled(width * image.height * image.channels) { target in
        taps.withUnsafeTaps {
          cnn_resample_rows(
            image.bytes, image.height, image.width, Int32(image.channels), $0, target, width)
        }
      }
    }
    if height != image.height {
      let taps = Taps(from: image.height, to: height)
      let wide = bytes
      bytes = filled(width * height * image.channels) { target in
        taps.withUnsafeTaps { cnn_resample_columns(wide, width * image.channels, $0, target, height) }
      }
    }
    return PixelImage(width: width, height: height, channels: image.channels, bytes: bytes)
  }

  private static func filled(_ count: Int, _ fill: (UnsafeMutablePointer<UInt8>?) -> Void) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { target, filled in
      fill(target.baseAddress)
      filled = count
    }
  }

  /// The inputs and weights of each output along one axis, in the layout of `cnn_taps`.
  private struct Taps {
    var first: [Int32] = []
    var count: [Int32] = []
    var weights: [Int32]
    let stride: Int

    init(from old: Int, to new: Int) {
      let scale = Double(old) / Double(new)
      let reach = max(1, scale)
      stride = Int(reach.rounded(.up)) * 2 + 1
      weights = [Int32](repeating: 0, count: new * stride)
      first.reserveCapacity(new)
      count.reserveCapacity(new)
      for output in 0..<new {
        let centre = (Double(output) + 0.5) * scale
        let low = max(0, Int(centre - reach + 0.5))
        let high = min(old, Int(centre + reach + 0.5))
        let raw = (low..<high).map { max(0, 1 - abs((Double($0) - centre + 0.5) * (1 / reach))) }
        let sum = raw.reduce(0, +)
        first.append(Int32(low))
        count.append(Int32(raw.count))
        for (tap, weight) in raw.enumerated() {
          weights[output * stride + tap] = Int32(
            (weight * (1 / sum) * Double(1 << 22)).rounded(.toNearestOrAwayFromZero))
        }
      }
    }

    func withUnsafeTaps(_ body: (cnn_taps) -> Void) {
      first.withUnsafeBufferPointer { first in
        count.withUnsafeBufferPointer { count in
          weights.withUnsafeBufferPointer { weights in
            body(
              cnn_taps(
                first: first.baseAddress, count: count.baseAddress, weights: weights.baseAddress,
                stride: Int32(stride)))
          }
        }
      }
    }
  }
}
