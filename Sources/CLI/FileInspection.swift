import CellData
import Reports
import Tensors
import Training

/// What arrays a safetensors file holds.
struct ArraysInspection: Inspection {
  struct Entry: Encodable {
    let name: String
    let dtype: String
    let shape: [Int]
  }

  let path: String
  let metadata: [String: String]
  let arrays: [Entry]
  private let bytes: Int

  enum CodingKeys: String, CodingKey { case path, metadata, arrays }

  init(_ path: String) throws {
    let file = try Safetensors.Reader(path: path)
    self.path = path
    metadata = file.metadata
    arrays = file.entries.map { Entry(name: $0.name, dtype: $0.type.rawValue, shape: $0.shape.dimensions) }
    bytes = file.entries.reduce(0) { $0 + $1.bytes.count }
  }

  var text: String {
    let rows = arrays.map { [$0.name, $0.dtype, "(\($0.shape.map(String.init).joined(separator: ", ")))"] }
    return """
      \(path): \(arrays.count) arrays, \(Figures.grouped(bytes)) bytes
      \(metadata.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined())
      \(TextTable.text([["array", "dtype", "shape"]] + rows))
      """
  }
}

/// What a configuration file makes with the defaults that it leaves alone.
struct ConfigInspection: Inspection {
  let config: RunConfig
  let text: String

  init(config: RunConfig) throws {
    self.config = config
    text = try config.encodedYAML()
  }

  func encode(to encoder: any Encoder) throws { try config.encode(to: encoder) }
}

/// What the headers of an image say.
struct ImageInspection: Inspection {
  let path: String
  let info: ImageInfo

  private enum Key: String, CodingKey {
    case path, format, width, height, channels, pages
    case bitDepth = "bit_depth"
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(path, forKey: .path)
    try container.encode(info.format.rawValue, forKey: .format)
    try container.encode(info.width, forKey: .width)
    try container.encode(info.height, forKey: .height)
    try container.encode(info.channels, forKey: .channels)
    try container.encode(info.bitDepth, forKey: .bitDepth)
    try container.encode(info.pages, forKey: .pages)
  }

  var text: String {
    "\(path): \(info.format.rawValue), \(info.width) × \(info.height) pixels, "
      + Self.name(channels: info.channels, bitDepth: info.bitDepth)
      + (info.pages > 1 ? ", \(info.pages) pages, of which the first is used" : "")
  }

  /// `RGB, 8 bits`.
  static func name(channels: Int, bitDepth: Int) -> String {
    let names = [1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"]
    return "\(names[channels] ?? "\(channels) channels"), \(bitDepth) bit\(bitDepth == 1 ? "" : "s")"
  }

  /// A safetensors file with the decoded image as array `pixels` (height, width, channels).
  func decoded() throws -> [UInt8] {
    let image = try ImageDecoder.decode(path: path)
    var writer = Safetensors.Writer()
    writer.add("pixels", shape: [image.height, image.width, image.channels], image.bytes)
    return writer.encoded()
  }
}
