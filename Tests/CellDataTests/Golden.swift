import CellData
import Foundation
import Testing

/// Files made by `Golden/make_golden.py`, and folders for files that tests make.
enum Golden {
  static func path(_ name: String) throws -> String {
    try #require(Bundle.module.resourcePath) + "/Golden/" + name
  }

  static func bytes(_ name: String) throws -> [UInt8] { try ImageFile.read(path(name)) }

  /// The lines of a CSV file without quotes.
  static func rows(_ name: String) throws -> [[String]] {
    String(decoding: try bytes(name), as: UTF8.self).split(separator: "\n").map {
      $0.split(separator: ",").map(String.init)
    }
  }
}

/// A folder of its own for one test, gone when the test is.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "cell-data-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  @discardableResult
  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = path + "/" + name
    try FileManager.default.createDirectory(
      atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  @discardableResult
  func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }
}

/// An image whose every byte differs from its neighbours.
func patterned(width: Int, height: Int, channels: Int, salt: Int = 0) -> PixelImage {
  PixelImage(
    width: width, height: height, channels: channels,
    bytes: (0..<width * height * channels).map {
      UInt8(truncatingIfNeeded: ($0 + salt) &* 73 &+ ($0 + salt) / 7)
    })
}
