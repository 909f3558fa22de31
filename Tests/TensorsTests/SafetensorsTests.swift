import Foundation
import Tensors
import Testing

@Suite struct SafetensorsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let weights: [Float] = [0.1, -0.0, .leastNonzeroMagnitude, .infinity, 3e38, 1 / 3]
  private static let counts: [Int64] = [-1, 9_007_199_254_740_993, .min, .max]

  /// What Golden/written_by_python.py writes.
  private func sample() -> Safetensors.Writer {
    var writer = Safetensors.Writer()
    writer.metadata = [("note", "tab\tand \"quotes\"")]
    writer.add("bytes", shape: [5], [0, 1, 127, 128, 255] as [UInt8])
    writer.add("counts", shape: [2, 2], Self.counts)
    writer.add("empty", Tensor(shape: [0, 3], values: []))
    writer.add("scalar", Tensor(shape: [], values: [-2.5]))
    writer.add("wéights \"1\"", Tensor(shape: [2, 3], values: Self.weights))
    return writer
  }

  private func expectSample(_ reader: Safetensors.Reader) throws {
    #expect(Set(reader.entries.map(\.name)) == ["bytes", "counts", "empty", "scalar", "wéights \"1\""])
    #expect(reader.metadata == ["note": "tab\tand \"quotes\""])
    let weights = try reader.tensor("wéights \"1\"")
    #expect(weights.shape == [2, 3])
    #expect(weights.values.map(\.bitPattern) == Self.weights.map(\.bitPattern))
    #expect(try reader.tensor("scalar") == Tensor(shape: [], values: [-2.5]))
    #expect(try reader.tensor("empty") == Tensor(shape: [0, 3], values: []))
    #expect(try reader.integers("counts") == Self.counts)
    let bytes = try #require(reader.entry("bytes"))
    #expect(bytes.type == .uint8 && bytes.shape == [5])
    #expect(Array(reader.bytes(of: bytes)) == [0, 1, 127, 128, 255])
  }

  @Test func whatIsWrittenIsRead() throws {
    try sample().write(to: folder.file("a.safetensors"))
    try expectSample(Safetensors.Reader(path: folder.file("a.safetensors")))
  }

  @Test func theReferenceImplementationsFileIsRead() throws {
    try expectSample(Safetensors.Reader(path: pythonFile()))
  }

  @Test func theFileEqualsTheReferenceImplementations() throws {
    let expected = try bytes(of: pythonFile())
    #expect(sample().encoded() == expected)
  }

  @Test func arraysLieOnMultiplesOfTheirElements() throws {
    var writer = Safetensors.Writer()
    writer.add("u", shape: [3], [1, 2, 3] as [UInt8])
    writer.add("f", Tensor(shape: [1], values: [1]))
    writer.add("i", shape: [1], [7] as [Int64])
    try writer.write(to: folder.file("a"))
    let reader = try Safetensors.Reader(path: folder.file("a"))
    for entry in reader.entries {
      let address = UInt(bitPattern: reader.bytes(of: entry).baseAddress)
      #expect(address % UInt(entry.type.byteCount) == 0, "\(entry)")
    }
    #expect(reader.entries.map(\.name) == ["i", "f", "u"])
  }

  @Test func anArrayThatIsMissingOrOfAnotherTypeIsNamed() throws {
    try sample().write(to: folder.file("a"))
    let reader = try Safetensors.Reader(path: folder.file("a"))
    #expect(message { _ = try reader.tensor("bias") } == "\(folder.file("a")): no array \"bias\"")
    #expect(
      message { _ = try reader.tensor("counts") }
        == "\(folder.file("a")): counts expects F32 elements, got I64")
  }

  @Test(arguments: Malformed.cases)
  func aMalformedFileIsRefusedInOneLine(file: Malformed) throws {
    let path = folder.file("bad.safetensors")
    try DurableFile.write(file.bytes, to: path)
    let text = try #require(message { _ = try Safetensors.Reader(path: path) }, "\(file.name) was accepted")
    #expect(text.hasPrefix("\(path): ") && !text.contains("\n"))
    #expect(text.contains(file.complaint), "\(file.name): \(text)")
  }

  /// Every file that ends early is refused, wherever it ends.
  @Test func aFileCutShortAnywhereIsRefused() throws {
    let whole = sample().encoded()
    let path = folder.file("cut")
    for count in 0..<whole.count {
      try DurableFile.write(Array(whole[..<count]), to: path)
      #expect(throws: (any Error).self, "cut to \(count) bytes") { try Safetensors.Reader(path: path) }
    }
  }

  @Test func filesThatCantBeMappedAreRefused() {
    #expect(
      message { _ = try Safetensors.Reader(path: "/nowhere/a") }
        == "/nowhere/a: can't open: No such file or directory")
    #expect(message { _ = try Safetensors.Reader(path: "/dev") } == "/dev: not a regular file")
  }

  private func pythonFile() throws -> String {
    let folder = try #require(Bundle.module.resourceURL)
    return folder.appendingPathComponent("Golden/written_by_python.safetensors").path
  }

  /// What `body` throws, as text; nil if it throws nothing.
  private func message(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return "\(error)"
    }
  }
}

/// A file that is wrong in one way, and what the reader says about it.
struct Malformed: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let complaint: String

  var testDescription: String { name }

  /// A header, with the length that it has or another, and `data` bytes.
  init(_ name: String, _ header: String, data: Int = 8, length: UInt64? = nil, complaint: String) {
    self.name = name
    self.complaint = complaint
    let length = length ?? UInt64(header.utf8.count)
    bytes =
      withUnsafeBytes(of: length.littleEndian) { Array($0) } + Array(header.utf8)
      + Array(repeating: 0, count: data)
  }

  private static func array(_ name: String, _ type: String, _ shape: String, _ begin: Int, _ end: Int)
    -> String
  {
    "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
  }

  static let cases: [Malformed] = [
    Malformed("text", "", data: 0, length: 0, complaint: "not a safetensors file (8 bytes)"),
    Malformed(
      "an array twice", "{\(array("a", "U8", "[4]", 0, 4)),\(array("a", "U8", "[4]", 4, 8))}",
      complaint: "its header names \"a\" twice"),
    Malformed(
      "a field twice", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"dtype\":\"U8\",\"data_offsets\":[0,8]}}",
      complaint: "its header names \"dtype\" twice"),
    Malformed(
      "a header of 101 MB", String(repeating: " ", count: 101_000_000), complaint: "header of 101000000 bytes"
    ),
    Malformed("no header", "", length: 0, complaint: "not a JSON object"),
    Malformed(
      "huge header", "{}", length: 1 << 40, complaint: "header of 1099511627776 bytes in a file of 18"),
    Malformed("header above 2⁶³", "{}", length: .max, complaint: "header of 18446744073709551615 bytes"),
    Malformed(
      "header longer than the file", "{}", length: 11, complaint: "header of 11 bytes in a file of 18"),
    Malformed("not JSON", "{\"a\":", complaint: "not a JSON object"),
    Malformed("a list", "[1,2]", complaint: "not a JSON object"),
    Malformed(
      "metadata of numbers", "{\"__metadata__\":{\"a\":1}}", data: 0, complaint: "expects text values"),
    Malformed(
      "no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", complaint: "a lacks dtype, shape or"),
    Malformed(
      "one offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}",
      complaint: "a lacks dtype"),
    Malformed("half an element", "{\(array("a", "F32", "[1.5]", 0, 6))}", complaint: "a lacks dtype"),
    Malformed(
      "unknown type", "{\(array("a", "F8_E4M3", "[8]", 0, 8))}", complaint: "unsupported dtype F8_E4M3"),
    Malformed(
      "negative extent", "{\(array("a", "F32", "[-2]", 0, 8))}", complaint: "a of shape [-2] doesn't fit"),
    Malformed(
      "overflowing shape", "{\(array("a", "F32", "[4611686018427387904,4]", 0, 0))}", data: 0,
      complaint: "doesn't fit its offsets [0, 0]"),
    Malformed(
      "too few bytes", "{\(array("a", "F32", "[2]", 0, 4))}", complaint: "doesn't fit its offsets [0, 4]"),
    Malformed("backward offsets", "{\(array("a", "F32", "[0]", 8, 0))}", complaint: "doesn't fit"),
    Malformed(
      "offsets that overflow", "{\(array("a", "U8", "[1]", .max, .min))}",
      complaint: "doesn't fit its offsets"),
    Malformed(
      "negative offset", "{\(array("a", "F32", "[2]", -4, 4))}", complaint: "doesn't fit its offsets [-4, 4]"),
    Malformed(
      "truncated data", "{\(array("a", "F32", "[4]", 0, 16))}", complaint: "or the file is cut short"),
    Malformed(
      "overlap", "{\(array("a", "U8", "[6]", 0, 6)),\(array("b", "U8", "[4]", 4, 8))}",
      complaint: "b overlaps its neighbour or leaves a gap"),
    Malformed(
      "gap", "{\(array("a", "U8", "[2]", 0, 2)),\(array("b", "U8", "[4]", 4, 8))}",
      complaint: "b overlaps its neighbour or leaves a gap"),
    Malformed(
      "bytes behind", "{\(array("a", "U8", "[5]", 0, 5))}", complaint: "3 bytes follow the last array"),
  ]
}
