/// A CSV file with a header and the columns `path`, `label` and, if the data set is split, `split`. Other
/// columns are kept. Paths are relative to the folder that holds the manifest and stay inside it.
struct Manifest {
  private struct Row {
    let line: Int
    let path: String
    let label: String
    let split: Split?
    let others: [String]
  }

  let path: String
  private var rows: [Row] = []
  private var columns: [String] = []

  /// Reads the file.
  init(path: String) throws(ManifestError) {
    self.path = path
    let bytes: [UInt8]
    do { bytes = try ImageFile.read(path) } catch { throw ManifestError(path: path, problem: error.problem) }
    guard !bytes.isEmpty else { throw ManifestError(path: path, problem: "the manifest is empty") }
    var reader = CSVReader(bytes: bytes, path: path)
    guard let header = try reader.next() else {
      throw ManifestError(path: path, problem: "the manifest is empty")
    }
    let places = try Places(header, path: path)
    columns = places.others.map { header.fields[$0] }
    while let record = try reader.next() { rows.append(try row(record, header.fields.count, places)) }
    guard !rows.isEmpty else { throw ManifestError(path: path, problem: "the manifest has no rows") }
    rows.sort { inByteOrder($0.path, $1.path) }
    for (a, b) in zip(rows, rows.dropFirst()) where a.path.utf8.elementsEqual(b.path.utf8) {
      throw ManifestError(
        path: path, line: max(a.line, b.line), problem: "\(a.path) is already in line \(min(a.line, b.line))")
    }
  }

  /// `classes` lists the allowed labels; nil takes those that occur, in byte order.
  func dataset(root: String, classes allowed: [String]?, rule: SplitRule) throws(ManifestError) -> Dataset {
    let classes = allowed ?? Set(rows.map(\.label)).sorted(by: inByteOrder)
    let places = Dictionary(classes.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    var samples: [Sample] = []
    for row in rows {
      guard let label = places[row.label] else {
        throw ManifestError(
          path: path, line: row.line,
          problem: "label \(row.label) is none of the classes \(classes.joined(separator: ", "))")
      }
      samples.append(Sample(path: row.path, label: label, split: row.split ?? .train, columns: row.others))
    }
    if rows.first?.split == nil { samples = rule.assign(samples, classCount: classes.count) }
    return Dataset(root: root, classes: classes, columns: columns, samples: samples)
  }

  private func row(_ record: CSVReader.Record, _ count: Int, _ places: Places) throws(ManifestError) -> Row {
    func error(_ problem: String) -> ManifestError {
      ManifestError(path: path, line: record.line, problem: problem)
    }
    guard record.fields.count == count else {
      throw error("expects \(count) fields as in the header, got \(record.fields.count)")
    }
    let file = record.fields[places.path]
    guard !file.isEmpty else { throw error("the path is empty") }
    guard let inside = Self.pathInside(file) else { throw error("\(file) leaves the data folder") }
    let label = record.fields[places.label]
    guard !label.isEmpty else { throw error("the label is empty") }
    var split: Split?
    if let place = places.split {
      split = Split(name: record.fields[place])
      guard split != nil else {
        throw error("expects the split train, val or test, got \"\(record.fields[place])\"")
      }
    }
    return Row(
      line: record.line, path: inside, label: label, split: split,
      others: places.others.map { record.fields[$0] })
  }

  /// `path` without `.` and `..`, or nil where it is absolute, empty or leads out of its folder.
  static func pathInside(_ path: String) -> String? {
    guard !path.hasPrefix("/") else { return nil }
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part != ".." {
        parts.append(part)
      } else if parts.popLast() == nil {
        return nil
      }
    }
    return parts.isEmpty ? nil : parts.joined(separator: "/")
  }

  /// Where the header has which column.
  private struct Places {
    let path: Int
    let label: Int
    let split: Int?
    let others: [Int]

    init(_ header: CSVReader.Record, path file: String) throws(ManifestError) {
      let names = header.fields
      for (place, name) in names.enumerated() where names[..<place].contains(name) {
        throw ManifestError(path: file, line: header.line, problem: "two columns are named \"\(name)\"")
      }
      guard let path = names.firstIndex(of: "path"), let label = names.firstIndex(of: "label") else {
        throw ManifestError(
          path: file, line: header.line,
          problem: "expects a header with the columns path, label and, optionally, split, got "
            + names.joined(separator: ","))
      }
      self.path = path
      self.label = label
      split = names.firstIndex(of: "split")
      let known = [path, label, split]
      others = names.indices.filter { !known.contains($0) }
    }
  }
}
