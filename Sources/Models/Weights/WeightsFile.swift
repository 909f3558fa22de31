import Tensors

/// A file of named arrays, whoever wrote it: safetensors, or torch.save's zip or older format.
///
/// Which it is, its first bytes say. Nothing in it runs, and nothing is allocated beyond the file's size before an
/// array is asked for.
package struct WeightsFile: Sendable {
  package enum Format: String, Sendable {
    case safetensors
    case torchZip = "torch.save"
    case torchLegacy = "torch.save before PyTorch 1.6"
  }

  package let format: Format
  package let metadata: [String: String]
  package let arrays: [StoredArray]
  /// What was done to find them, a sentence each.
  package let remarks: [String]
  private let file: MappedFile

  package var path: String { file.path }

  /// Throws `FileError`, `SafetensorsError` or `WeightsError`.
  package init(path: String) throws {
    file = try MappedFile(path: path)
    let found: TorchFile
    switch Self.format(of: file.bytes) {
    case .safetensors:
      let reader = try Safetensors.Reader(file)
      format = .safetensors
      metadata = reader.metadata
      found = TorchFile(
        arrays: reader.entries.map {
          StoredArray(
            name: $0.name, type: $0.type, shape: $0.shape,
            bytes: ($0.bytes.lowerBound + reader.dataOffset)..<($0.bytes.upperBound + reader.dataOffset),
            strides: nil)
        })
    case .torchZip:
      (format, metadata) = (.torchZip, [:])
      found = try TorchFile(zip: file)
    case .torchLegacy:
      (format, metadata) = (.torchLegacy, [:])
      found = try TorchFile(legacy: file)
    }
    let (arrays, remarks) = found.plainlyNamed()
    self.arrays = arrays
    self.remarks = remarks + Self.conversions(of: arrays)
    let repeated = Dictionary(grouping: arrays, by: \.name).filter { $1.count > 1 }.keys.min()
    if let repeated { throw WeightsError(path: path, problem: "holds two arrays named \(repeated)") }
  }

  /// The elements of an array as floats, row by row. Throws `WeightsError` where one isn't finite.
  package func values(of array: StoredArray) throws(WeightsError) -> [Float] {
    let values = array.floats(in: file)
    guard let bad = values.firstIndex(where: { !$0.isFinite }) else { return values }
    throw WeightsError(
      path: path,
      problem: "\(array.name) holds \(values[bad].isNaN ? "NaN" : "\(values[bad])") at element \(bad) of "
        + "\(array.shape), and weights must be finite")
  }

  /// The bits of an array as the file has them, row by row; nil where they lie otherwise.
  package func storedBytes(of array: StoredArray) -> UnsafeRawBufferPointer? {
    guard array.strides == nil else { return nil }
    return UnsafeRawBufferPointer(
      rebasing: file.bytes[array.bytes].prefix(array.shape.count * array.type.byteCount))
  }

  private static func format(of bytes: UnsafeRawBufferPointer) -> Format {
    if bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) || bytes.starts(with: [0x50, 0x4B, 0x05, 0x06]) {
      return .torchZip
    }
    // A pickle begins with PROTO and its version; as the length of a safetensors header this would be odd.
    if bytes.starts(with: [0x80]), bytes.count > 1, (1...5).contains(bytes[1]) {
      let isHeader = bytes.count > 8 && bytes[8] == UInt8(ascii: "{")
      return isHeader ? .safetensors : .torchLegacy
    }
    return .safetensors
  }

  private static func conversions(of arrays: [StoredArray]) -> [String] {
    let others = Dictionary(grouping: arrays.filter { $0.type.isFloat && $0.type != .float32 }, by: \.type)
    return others.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      "\($1.count) arrays of \($0.rawValue) are converted to F32"
    }
  }
}
