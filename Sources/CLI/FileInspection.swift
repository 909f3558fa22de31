import CellData
import Models
import Reports
import Tensors
import Training

/// What arrays a file of weights holds, by safetensors or torch.save.
struct ArraysInspection: Inspection {
  struct Entry: Encodable {
    let name: String
    let dtype: String
    let shape: [Int]
  }

  let path: String
  let format: String
  let metadata: [String: String]
  /// What was done to find the arrays.
  let remarks: [String]
  let arrays: [Entry]
  private let bytes: Int

  enum CodingKeys: String, CodingKey { case path, format, metadata, remarks, arrays }

  init(_ path: String) throws {
    let file = try WeightsFile(path: path)
    self.path = path
    (format, metadata, remarks) = (file.format.rawValue, file.metadata, file.remarks)
    arrays = file.arrays.map { Entry(name: $0.name, dtype: $0.type.rawValue, shape: $0.shape.dimensions) }
    bytes = file.arrays.reduce(0) { $0 + $1.shape.count * $1.type.byteCount }
  }

  var text: String {
    let rows = arrays.map { [$0.name, $0.dtype, "(\($0.shape.map(String.init).joined(separator: ", ")))"] }
    let facts =
      metadata.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" } + remarks.map { $0 + "\n" }
    return """
      \(path): \(format), \(arrays.count) arrays, \(Figures.grouped(bytes)) bytes
      \(facts.joined())
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
