import CImageCodecs
import Glibc
import Synchronization
import Tensors

/// Images of one size in a safetensors file of any length, mapped into memory: an array `images` of bytes (U8),
/// (N, H, W) grey, (N, H, W, C) or (N, C, H, W) with C = 1 … 4 as in image files.
///
/// Of four dimensions the last is the channels if it is 1 … 4, else the second; where both are, nothing says
/// which is meant, and the file is refused. An array `labels` (N) of I64 or U8 is there to be checked
/// (`checkLabels`); others are passed over.
package final class ImageSet: ImageSource {
  /// Where the pixels of an image stand.
  package struct Layout: Sendable, Equatable {
    package let count: Int
    package let height: Int
    package let width: Int
    package let channels: Int
    /// Whether each channel is a plane of its own.
    package let isPlanar: Bool

    var imageBytes: Int { height * width * channels }

    /// What the file at `path` holds.
    static func read(_ path: String) throws -> Layout { try Layout(Safetensors.Reader(path: path)) }

    fileprivate init(_ file: Safetensors.Reader) throws(SafetensorsError) {
      func refuse(_ problem: String) -> SafetensorsError {
        SafetensorsError(path: file.path, problem: problem)
      }
      guard let images = file.entry("images") else {
        let names = file.entries.map(\.name).joined(separator: ", ")
        throw refuse("an image set expects an array images, got \(names.isEmpty ? "none" : names)")
      }
      guard images.type == .uint8 else {
        throw refuse("images expects bytes (U8), got \(images.type.rawValue)")
      }
      let shape = images.shape.dimensions
      switch shape.count {
      case 3: (height, width, channels, isPlanar) = (shape[1], shape[2], 1, false)
      case 4:
        let (isLast, isSecond) = ((1...4).contains(shape[3]), (1...4).contains(shape[1]))
        guard isLast || isSecond else {
          throw refuse("images of shape \(images.shape) have no dimension of 1 … 4 channels, last or second")
        }
        guard !(isLast && isSecond) else {
          throw refuse(
            "images of shape \(images.shape): the channels may be the last dimension or the second")
        }
        if isLast {
          (height, width, channels, isPlanar) = (shape[1], shape[2], shape[3], false)
        } else {
          (height, width, channels, isPlanar) = (shape[2], shape[3], shape[1], true)
        }
      default:
        throw refuse("images expects the shape (N, H, W), (N, H, W, C) or (N, C, H, W), got \(images.shape)")
      }
      guard shape.allSatisfy({ $0 > 0 }) else {
        throw refuse("images of shape \(images.shape) hold no image")
      }
      count = shape[0]
    }
  }

  package let path: String
  package let layout: Layout
  private let preparation: ImagePreparation
  private let file: Safetensors.Reader
  private let images: Safetensors.Entry
  /// How many spans of pixels were given back to the system.
  private let released = Atomic(0)

  private static let spanBytes = 8 << 20

  /// Maps the file. Throws where it can't be used, or the network can't take such images.
  package init(path: String, preparation: ImagePreparation) throws {
    file = try Safetensors.Reader(path: path)
    layout = try Layout(file)
    self.path = path
    self.preparation = preparation
    _ = try preparation.conversion(from: layout.channels, named: path)
    _ = try preparation.extent(width: layout.width, height: layout.height, named: path)
    guard let images = file.entry("images") else { preconditionFailure("the layout was read from images") }
    self.images = images
    Self.advise(pixels, MADV_SEQUENTIAL)
  }

  package var count: Int { layout.count }
  private var pixels: UnsafeRawBufferPointer { file.bytes(of: images) }

  package func load(_ index: Int) throws(ImageError) -> PixelImage {
    precondition((0..<count).contains(index), "image \(index) of \(count)")
    let size = layout.imageBytes
    let stored = UnsafeRawBufferPointer(rebasing: pixels[(index * size)..<((index + 1) * size)])
    let area = layout.height * layout.width
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { target, filled in
      if layout.isPlanar && layout.channels > 1 {
        for channel in 0..<layout.channels {
          for pixel in 0..<area { target[pixel * layout.channels + channel] = stored[channel * area + pixel] }
        }
      } else {
        UnsafeMutableRawBufferPointer(target).copyMemory(from: stored)
      }
      filled = size
    }
    releaseBehind(index * size)
    return try preparation.apply(
      to: PixelImage(
        width: layout.width, height: layout.height, channels: layout.channels, bytes: bytes),
      named: path)
  }

  /// Gives the pages back that lie a span or more before `offset`: the system counts them as this process's
  /// memory for as long as it has room. Whoever wants them again reads them again.
  private func releaseBehind(_ offset: Int) {
    let spans = offset / Self.spanBytes - 1
    let before = released.load(ordering: .relaxed)
    guard spans > before,
      released.compareExchange(expected: before, desired: spans, ordering: .relaxed).exchanged
    else { return }
    Self.advise(
      UnsafeRawBufferPointer(rebasing: pixels[(before * Self.spanBytes)..<(spans * Self.spanBytes)]),
      MADV_DONTNEED)
  }

  private static func advise(_ bytes: UnsafeRawBufferPointer, _ advice: Int32) {
    let page = Int(getpagesize())
    let first = Int(bitPattern: bytes.baseAddress) / page * page
    let end = Int(bitPattern: bytes.baseAddress) + bytes.count
    // Advice: where the system refuses it, nothing is lost but memory.
    _ = madvise(UnsafeMutableRawPointer(bitPattern: first), end - first, advice)
  }

  /// Throws where `labels`, if there are any, are not one of `classes` for each image: this is another run's data.
  package func checkLabels(classes: Int) throws(SafetensorsError) {
    guard let labels = file.entry("labels") else { return }
    func refuse(_ problem: String) -> SafetensorsError { SafetensorsError(path: path, problem: problem) }
    guard labels.shape.dimensions == [count], labels.type != .float32 else {
      throw refuse(
        "labels expects I64 or U8 of shape (\(count)), got \(labels.type.rawValue) of shape \(labels.shape)")
    }
    let bytes = file.bytes(of: labels)
    defer { Self.advise(bytes, MADV_DONTNEED) }
    for index in 0..<count {
      let label =
        labels.type == .uint8
        ? Int64(bytes[index]) : bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)
      guard 0..<Int64(classes) ~= label else {
        throw refuse("image \(index) is labelled \(label), but the run has \(classes) classes")
      }
    }
  }
}
