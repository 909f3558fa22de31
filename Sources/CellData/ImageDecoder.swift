import CImageCodecs
import Tensors

/// A file that can't be used as an image.
package struct ImageError: Error, Sendable, Equatable, Codable, CustomStringConvertible {
  package let path: String
  package let problem: String

  package init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }

  package var description: String { "\(path): \(problem)" }
}

/// What the headers of an image say.
package struct ImageInfo: Sendable, Equatable {
  package enum Format: String, Sendable { case png = "PNG", jpeg = "JPEG", tiff = "TIFF" }

  package let format: Format
  package let width: Int
  package let height: Int
  package let channels: Int
  /// Bits of a stored sample.
  package let bitDepth: Int
  /// More than 1 only in a TIFF; the first page is the one that is decoded.
  package let pages: Int
}

/// PNG, JPEG and TIFF files and bytes to pixels, and the only importer of the codecs.
package enum ImageDecoder {
  /// The most pixels that an image may have, unless the caller says otherwise.
  package static let defaultPixelLimit = 100_000_000

  package static func decode(path: String, pixelLimit: Int = defaultPixelLimit) throws(ImageError)
    -> PixelImage
  {
    try decode(bytes: ImageFile.read(path), named: path, pixelLimit: pixelLimit)
  }

  package static func decode(
    bytes: [UInt8], named path: String, pixelLimit: Int = defaultPixelLimit
  ) throws(ImageError) -> PixelImage {
    var info = try rawInfo(of: bytes, named: path, pixelLimit: pixelLimit)
    try refuseDepth(Int(info.bit_depth), named: path)
    let size = Int(info.width) * Int(info.height) * Int(info.channels)
    var failure = ""
    let pixels = [UInt8](unsafeUninitializedCapacity: size) { target, count in
      let (status, message) = codecMessage { message in
        cnn_image_decode(bytes, bytes.count, &info, target.baseAddress, message)
      }
      failure = message
      count = status == 0 ? size : 0
    }
    guard pixels.count == size else { throw ImageError(path: path, problem: failure) }
    return PixelImage(
      width: Int(info.width), height: Int(info.height), channels: Int(info.channels), bytes: pixels)
  }

  /// What the image is, without decoding it.
  package static func info(
    of bytes: [UInt8], named path: String, pixelLimit: Int = defaultPixelLimit
  ) throws(ImageError) -> ImageInfo {
    let info = try rawInfo(of: bytes, named: path, pixelLimit: pixelLimit)
    let format: ImageInfo.Format =
      switch info.format {
      case CNN_IMAGE_PNG: .png
      case CNN_IMAGE_JPEG: .jpeg
      default: .tiff
      }
    return ImageInfo(
      format: format, width: Int(info.width), height: Int(info.height), channels: Int(info.channels),
      bitDepth: Int(info.bit_depth), pages: Int(info.pages))
  }

  /// What a file is, by no more of it than that takes.
  package static func info(path: String, pixelLimit: Int = defaultPixelLimit) throws(ImageError) -> ImageInfo
  {
    let info = try ImageFile.read(path, first: 1 << 16) { bytes, isWhole throws(ImageError) -> ImageInfo? in
      let info = try Self.info(of: bytes, named: path, pixelLimit: pixelLimit)
      // The pages of a TIFF lie anywhere in the file.
      return isWhole || info.format != .tiff ? info : nil
    }
    guard let info else { throw ImageError(path: path, problem: "has no headers") }
    return info
  }

  /// More bits than 8 can be recognised, but not decoded yet.
  static func refuseDepth(_ bits: Int, named path: String) throws(ImageError) {
    guard bits <= 8 else { throw ImageError(path: path, problem: "\(bits)-bit images are not supported yet") }
  }

  private static func rawInfo(
    of bytes: [UInt8], named path: String, pixelLimit: Int
  ) throws(ImageError) -> cnn_image_info {
    var info = cnn_image_info()
    let (status, message) = codecMessage { message in
      cnn_image_probe(bytes, bytes.count, UInt64(pixelLimit), &info, message)
    }
    guard status == 0 else { throw ImageError(path: path, problem: message) }
    return info
  }
}
