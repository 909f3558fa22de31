import CImageCodecs

/// A picture of 8-bit samples, the channels of a pixel side by side, the top row first.
package struct PixelImage: Sendable, Equatable {
  package let width: Int
  package let height: Int
  /// 1 is grey, 2 grey and alpha, 3 RGB, 4 RGBA.
  package let channels: Int
  /// width · height · channels.
  package var bytes: [UInt8]

  package init(width: Int, height: Int, channels: Int, bytes: [UInt8]) {
    precondition(
      width > 0 && height > 0 && (1...4).contains(channels) && bytes.count == width * height * channels,
      "an image expects width · height · channels bytes, got \(width) · \(height) · \(channels) and \(bytes.count)"
    )
    self.width = width
    self.height = height
    self.channels = channels
    self.bytes = bytes
  }

  /// The PNG of a grey or RGB image.
  package func png() -> [UInt8] {
    var encoded: UnsafeMutablePointer<UInt8>?
    var count = 0
    let (status, message) = codecMessage { message in
      cnn_png_encode(bytes, UInt32(width), UInt32(height), Int32(channels), &encoded, &count, message)
    }
    defer { cnn_image_free(encoded) }
    precondition(status == 0, "\(message)")
    return Array(UnsafeBufferPointer(start: encoded, count: count))
  }
}

/// Calls into the codecs with room for their message.
func codecMessage(_ call: (UnsafeMutablePointer<CChar>) -> Int32) -> (status: Int32, message: String) {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CNN_IMAGE_MESSAGE)) { buffer in
    guard let message = buffer.baseAddress else { return (-1, "") }
    message.initialize(repeating: 0, count: buffer.count)
    let status = call(message)
    return (status, status == 0 ? "" : String(cString: message))
  }
}

/// What was done to the channels of images so that they fit the configured number.
package struct ConversionCounts: Sendable, Equatable, Codable {
  /// Grey images whose one channel was copied to three.
  package var greyToRGB = 0
  /// Images that had an alpha channel, which was left out.
  package var alphaDropped = 0

  package init(greyToRGB: Int = 0, alphaDropped: Int = 0) {
    self.greyToRGB = greyToRGB
    self.alphaDropped = alphaDropped
  }

  package static func += (a: inout Self, b: Self) {
    a.greyToRGB += b.greyToRGB
    a.alphaDropped += b.alphaDropped
  }
}

/// From the channels that a file has to the channels that the network takes. Alpha is left out, grey is
/// copied to red, green and blue; colours are not made grey, since nobody said how.
package struct ChannelConversion: Sendable {
  package let from: Int
  package let to: Int

  /// nil where `to` (1 or 3) can't be made from `from`.
  package init?(from: Int, to: Int) {
    precondition(to == 1 || to == 3, "images are converted to 1 or 3 channels, not \(to)")
    guard from <= 2 || to == 3 else { return nil }
    self.from = from
    self.to = to
  }

  package var counts: ConversionCounts {
    ConversionCounts(greyToRGB: from <= 2 && to == 3 ? 1 : 0, alphaDropped: from == 2 || from == 4 ? 1 : 0)
  }

  package func apply(to image: PixelImage) -> PixelImage {
    precondition(image.channels == from, "the conversion expects \(from) channels, got \(image.channels)")
    if from == to { return image }
    let pixels = image.width * image.height
    let bytes = [UInt8](unsafeUninitializedCapacity: pixels * to) { target, count in
      image.bytes.withUnsafeBufferPointer { source in
        for pixel in 0..<pixels {
          for channel in 0..<to {
            target[pixel * to + channel] = source[pixel * from + (from <= 2 ? 0 : channel)]
          }
        }
      }
      count = pixels * to
    }
    return PixelImage(width: image.width, height: image.height, channels: to, bytes: bytes)
  }
}
