import Foundation

extension Safetensors {
  /// A memory-mapped file of named arrays. Nothing is copied before it is asked for.
  package final class Reader: Sendable {
    package let path: String
    package let metadata: [String: String]
    /// In the order of the file.
    package let entries: [Entry]
    private let byName: [String: Int]
    /// Where the bytes of `entries` begin in `file`.
    package let dataOffset: Int
    package let file: MappedFile
    private var mapping: UnsafeRawBufferPointer { file.bytes }

    /// Maps the file and checks every word of its header. Throws `FileError` or `SafetensorsError`.
    package convenience init(path: String) throws { try self.init(MappedFile(path: path)) }

    /// Checks every word of the header of a file that is mapped already. Throws `FileError` or `SafetensorsError`.
    package init(_ file: MappedFile) throws {
      self.file = file
      path = file.path
      guard file.bytes.count > 8 else {
        throw FileError(path: path, problem: "not a safetensors file (\(file.bytes.count) bytes)")
      }
      let header = try Self.parse(file.bytes, path: path)
      (metadata, entries, dataOffset) = (header.metadata, header.entries, header.dataOffset)
      byName = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
    }

    package func entry(_ name: String) -> Entry? { byName[name].map { entries[$0] } }

    /// The bytes of an array, valid as long as the reader lives.
    package func bytes(of entry: Entry) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(
        rebasing: mapping[(dataOffset + entry.bytes.lowerBound)..<(dataOffset + entry.bytes.upperBound)])
    }

    /// A float32 array by name; throws when it is missing or has another element type.
    package func tensor(_ name: String) throws -> Tensor {
      let entry = try entry(name, type: .float32)
      return Tensor(shape: entry.shape, values: load(entry))
    }

    /// The values of an int64 array by name.
    package func integers(_ name: String) throws -> [Int64] { load(try entry(name, type: .int64)) }

    private func entry(_ name: String, type: ElementType) throws -> Entry {
      guard let entry = entry(name) else {
        throw SafetensorsError(path: path, problem: "no array \"\(name)\"")
      }
      guard entry.type == type else {
        throw SafetensorsError(
          path: path, problem: "\(name) expects \(type.rawValue) elements, got \(entry.type.rawValue)")
      }
      return entry
    }

    private func load<Element: BitwiseCopyable>(_ entry: Entry) -> [Element] {
      let source = bytes(of: entry)
      return Array(unsafeUninitializedCapacity: entry.shape.count) { target, count in
        UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
        count = entry.shape.count
      }
    }

    private static func parse(_ mapping: UnsafeRawBufferPointer, path: String) throws
      -> (metadata: [String: String], entries: [Entry], dataOffset: Int)
    {
      func refuse(_ problem: String) -> SafetensorsError { SafetensorsError(path: path, problem: problem) }
      let length = mapping.loadUnaligned(as: UInt64.self).littleEndian
      guard length <= 100_000_000, Int(length) <= mapping.count - 8 else {
        throw refuse(
          "not a safetensors file, or cut short (header of \(length) bytes in a file of \(mapping.count))")
      }
      let dataOffset = 8 + Int(length)
      let text = Foundation.Data(mapping[8..<dataOffset])
      guard let json = try? JSONSerialization.jsonObject(with: text), let header = json as? [String: Any]
      else {
        throw refuse("its header is not a JSON object")
      }
      if let name = HeaderKeys.repeated(in: mapping[8..<dataOffset]) {
        throw refuse("its header names \(name) twice")
      }
      var entries: [Entry] = []
      var metadata: [String: String] = [:]
      for (name, value) in header {
        if name == "__metadata__" {
          guard let pairs = value as? [String: String] else {
            throw refuse("__metadata__ expects text values")
          }
          metadata = pairs
          continue
        }
        guard let fields = value as? [String: Any], let typeName = fields["dtype"] as? String,
          let dimensions = fields["shape"] as? [Int], let offsets = fields["data_offsets"] as? [Int],
          offsets.count == 2
        else { throw refuse("\(name) lacks dtype, shape or data_offsets") }
        guard let type = ElementType(rawValue: typeName) else {
          throw refuse("\(name) has unsupported dtype \(typeName)")
        }
        guard dimensions.allSatisfy({ $0 >= 0 }), let bytes = byteCount(dimensions, type), offsets[0] >= 0,
          offsets[1] >= offsets[0],
          offsets[1] - offsets[0] == bytes, offsets[1] <= mapping.count - dataOffset
        else {
          throw refuse(
            "\(name) of shape \(dimensions) doesn't fit its offsets \(offsets), or the file is cut short")
        }
        entries.append(
          Entry(name: name, type: type, shape: Shape(dimensions), bytes: offsets[0]..<offsets[1]))
      }
      entries.sort { ($0.bytes.lowerBound, $0.name) < ($1.bytes.lowerBound, $1.name) }
      var end = 0
      for entry in entries {
        guard entry.bytes.lowerBound == end else {
          throw refuse("\(entry.name) overlaps its neighbour or leaves a gap")
        }
        end = entry.bytes.upperBound
      }
      guard end == mapping.count - dataOffset else {
        throw refuse("\(mapping.count - dataOffset - end) bytes follow the last array")
      }
      return (metadata, entries, dataOffset)
    }

    private static func byteCount(_ dimensions: [Int], _ type: ElementType) -> Int? {
      var product = type.byteCount
      for dimension in dimensions {
        let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
        guard !overflow else { return nil }
        product = next
      }
      return product
    }
  }
}
