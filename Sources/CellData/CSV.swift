/// Records of comma-separated values (RFC 4180): fields may be quoted, quotes in them doubled; lines end in
/// LF, CRLF or CR; a UTF-8 byte order mark is skipped, and so are empty lines.
struct CSVReader {
  struct Record {
    /// Where it begins, from 1.
    let line: Int
    let fields: [String]
  }

  private let bytes: [UInt8]
  private let path: String
  private var at = 0
  private var line = 1

  init(bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { at = 3 }
  }

  /// The next record, or nil at the end.
  mutating func next() throws(ManifestError) -> Record? {
    while at < bytes.count, endLine() {}
    guard at < bytes.count else { return nil }
    let start = line
    var fields = [try field(from: start)]
    while at < bytes.count, !endLine() {
      at += 1  // the comma at which `field` stopped
      fields.append(try field(from: start))
    }
    return Record(line: start, fields: fields)
  }

  /// Steps over the end of a line, if one is here.
  private mutating func endLine() -> Bool {
    guard bytes[at] == UInt8(ascii: "\n") || bytes[at] == UInt8(ascii: "\r") else { return false }
    at +=
      bytes[at] == UInt8(ascii: "\r") && at + 1 < bytes.count && bytes[at + 1] == UInt8(ascii: "\n") ? 2 : 1
    line += 1
    return true
  }

  /// Reads up to a comma, the end of the line or the end.
  private mutating func field(from start: Int) throws(ManifestError) -> String {
    var text: [UInt8] = []
    if at < bytes.count, bytes[at] == UInt8(ascii: "\"") {
      try quoted(into: &text, from: start)
    } else {
      let ends: [UInt8] = [UInt8(ascii: ","), UInt8(ascii: "\n"), UInt8(ascii: "\r")]
      let end = bytes[at...].firstIndex { ends.contains($0) } ?? bytes.count
      text = Array(bytes[at..<end])
      at = end
    }
    guard let string = String(validating: text, as: UTF8.self) else {
      throw error(start, "is not UTF-8 text")
    }
    guard !text.contains(0) else { throw error(start, "holds a zero byte") }
    return string
  }

  private mutating func quoted(into text: inout [UInt8], from start: Int) throws(ManifestError) {
    let quote = UInt8(ascii: "\"")
    at += 1
    while true {
      guard at < bytes.count else { throw error(start, "a quoted field does not end") }
      if bytes[at] == quote {
        at += 1
        guard at < bytes.count, bytes[at] == quote else { break }
      } else if bytes[at] == UInt8(ascii: "\n") {
        line += 1
      }
      text.append(bytes[at])
      at += 1
    }
    if at < bytes.count, bytes[at] != UInt8(ascii: ","), bytes[at] != UInt8(ascii: "\n"),
      bytes[at] != UInt8(ascii: "\r")
    {
      throw error(start, "expects a comma after a quoted field")
    }
  }

  private func error(_ line: Int, _ problem: String) -> ManifestError {
    ManifestError(path: path, line: line, problem: problem)
  }

  /// `field` as a field of a CSV file.
  static func quoted(_ field: String) -> String {
    guard field.utf8.contains(where: { "\",\n\r".utf8.contains($0) }) else { return field }
    return "\"" + field.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }
}
