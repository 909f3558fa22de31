import CImageCodecs

/// y = (x / 255 − mean) / deviation, channel by channel, in float32 and in that order, as torchvision's
/// `ToTensor` and `Normalize` compute it.
package struct Normalisation: Sendable, Equatable, Codable {
  package let mean: [Float]
  package let deviation: [Float]

  package init(mean: [Float], deviation: [Float]) {
    precondition(
      mean.count == deviation.count && deviation.allSatisfy { $0 > 0 },
      "normalisation expects a mean and a positive deviation for each channel, got \(mean) and \(deviation)")
    self.mean = mean
    self.deviation = deviation
  }

  /// y of each x in 0 ... 255, channel after channel.
  var table: [Float] {
    zip(mean, deviation).flatMap { mean, deviation in (0...255).map { (Float($0) / 255 - mean) / deviation } }
  }
}

/// Exact sums over the pixels of many images, so that mean and deviation don't depend on who added up
/// which images in what order.
package struct ChannelStatistics: Sendable, Equatable, Codable {
  /// Σ x and Σ x² of each channel, x in 0 ... 255.
  package private(set) var sums: [UInt64]
  package private(set) var squares: [UInt64]
  package private(set) var pixels: UInt64 = 0

  package init(channels: Int) {
    sums = [UInt64](repeating: 0, count: channels)
    squares = [UInt64](repeating: 0, count: channels)
  }

  package mutating func add(_ image: PixelImage) {
    precondition(
      image.channels == sums.count, "statistics expect \(sums.count) channels, got \(image.channels)")
    let count = image.width * image.height
    cnn_pixel_moments(image.bytes, count, Int32(image.channels), &sums, &squares)
    pixels += UInt64(count)
  }

  package static func += (a: inout Self, b: Self) {
    precondition(
      a.sums.count == b.sums.count, "statistics of \(a.sums.count) and \(b.sums.count) channels don't add")
    for channel in a.sums.indices {
      a.sums[channel] += b.sums[channel]
      a.squares[channel] += b.squares[channel]
    }
    a.pixels += b.pixels
  }

  /// Mean and deviation of x / 255, or nil where no pixel was counted. A channel that never varies gets a
  /// deviation of one grey level.
  ///
  /// mean = Σx / 255n,  deviation² = (n Σx² − (Σx)²) / (255n)²
  package var normalisation: Normalisation? {
    guard pixels > 0 else { return nil }
    let scale = 255 * Double(pixels)
    return Normalisation(
      mean: sums.map { Float(Double($0) / scale) },
      deviation: zip(sums, squares).map { sum, square in
        let numerator = UInt128(pixels) * UInt128(square) - UInt128(sum) * UInt128(sum)
        return Float(max(1.0 / 255, Double(numerator).squareRoot() / scale))
      })
  }
}
