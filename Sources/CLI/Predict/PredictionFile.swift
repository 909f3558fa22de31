import Foundation
import Tensors
import Training

/// Where predictions go, block by block, in the order of the images.
protocol PredictionOutput: AnyObject {
  func write(_ block: PredictedBlock) throws
  /// After the last block.
  func finish() throws
  /// After a failure: what is written is to last.
  func suspend()
}

/// Rows of text on the standard output.
final class PredictionStream: PredictionOutput {
  private let text: PredictionText

  init(_ text: PredictionText) throws {
    self.text = text
    try Program.outputExactly(Array(text.opening.utf8))
  }

  func write(_ block: PredictedBlock) throws { try Program.outputExactly(text.rows(block)) }
  func finish() throws { try Program.outputExactly(Array(text.closing.utf8)) }
  func suspend() {}
}

/// A file of predictions with its record (`PredictionRecord`). Rows go in order, and once a second they are flushed
/// to the disk and noted. So whatever stops the program costs a second's work: `--resume` cuts off what came
/// after the note, half a row perhaps, and computes it again.
final class PredictionFile: PredictionOutput {
  private static let secondsBetweenNotes = 1.0

  /// How blocks become bytes.
  enum Layout {
    case text(PredictionText)
    case arrays(PredictionArrays)
  }

  let path: String
  /// Rows that were there when the file was opened.
  let rowsBefore: Int
  private let count: Int
  private let layout: Layout
  private let record: PredictionRecord
  private let file: Int32
  private var rows: Int
  /// Of text.
  private var bytes: Int
  private var lastNote = monotonicSeconds()

  /// - Parameters:
  ///   - count: rows of the complete output.
  ///   - microbatch: notes stand at whole ones.
  /// Throws `FileError`.
  init(
    _ path: String, _ layout: Layout, count: Int, microbatch: Int, settings: PredictionRecord.Settings,
    resume: Bool
  ) throws {
    (self.path, self.layout, self.count) = (path, layout, count)
    if !resume { try Self.checkNew(path) }
    record =
      try resume
      ? PredictionRecord(resuming: path, settings) : PredictionRecord(newFor: path, settings)
    (rows, bytes, rowsBefore) = (record.rows, record.bytes, record.rows)
    guard rows == count || rows < count && rows % microbatch == 0 else {
      throw FileError(
        path: record.path, problem: "is damaged: \(rows) of \(count) rows are no whole microbatches")
    }
    let flags = resume ? O_RDWR | O_CLOEXEC : O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC
    file = open(path, flags, 0o644)
    guard file >= 0 else { throw FileError(path: path, cannot: resume ? "open" : "create") }
    try begin()
  }

  deinit { close(file) }

  /// Throws where the file is there already, or can't be made.
  static func checkNew(_ path: String) throws(FileError) {
    if access(PredictionRecord.path(of: path), F_OK) == 0, access(path, F_OK) == 0 {
      throw FileError(
        path: path, problem: "is there already; choose another name, or go on with --resume")
    }
    try NewFile(path).check()
  }

  private func begin() throws {
    switch layout {
    case .text(let text):
      var status = stat()
      guard fstat(file, &status) == 0, Int(status.st_size) >= bytes else {
        throw FileError(path: path, problem: "is shorter than the \(bytes) bytes that \(record.path) notes")
      }
      guard ftruncate(file, bytes) == 0 else { throw FileError(path: path, cannot: "shorten") }
      if bytes == 0 { try append(Array(text.opening.utf8), rows: 0) }
    case .arrays(let arrays):
      do {
        try arrays.reserve(in: file, path: path, isNew: rows == 0)
      } catch {
        // Nothing is lost: not a row is there yet.
        if rows == 0 {
          unlink(path)
          try? record.remove()
        }
        throw error
      }
    }
  }

  func write(_ block: PredictedBlock) throws {
    precondition(
      block.images.lowerBound == rows, "rows from \(rows) on are next, not those of \(block.images)")
    switch layout {
    case .text(let text): try append(text.rows(block), rows: block.images.count)
    case .arrays(let arrays):
      guard arrays.write(block, to: file) else { throw stopped() }
      rows = block.images.upperBound
    }
    if monotonicSeconds() - lastNote >= Self.secondsBetweenNotes {
      try note()
      lastNote = monotonicSeconds()
    }
  }

  func finish() throws {
    // Not counted: should the rest fail, it is written again.
    if case .text(let text) = layout,
      !PredictionRecord.write(Array(text.closing.utf8), to: file, at: bytes)
    {
      throw stopped()
    }
    guard fsync(file) == 0 else { throw FileError(path: path, cannot: "flush to disk") }
    try record.remove()
    try DurableFile.flushDirectory(of: path)
  }

  func suspend() { try? note() }

  private func append(_ new: [UInt8], rows count: Int) throws {
    guard PredictionRecord.write(new, to: file, at: bytes) else { throw stopped() }
    bytes += new.count
    rows += count
  }

  private func note() throws {
    guard fdatasync(file) == 0 else { throw FileError(path: path, cannot: "flush to disk") }
    try record.note(rows: rows, bytes: bytes)
  }

  /// What stops the output, the disk being full mostly. Cuts off what is no whole block, and notes the rest.
  private func stopped() -> FileError {
    let reason = FileError(path: path, cannot: "write")
    if case .text = layout { ftruncate(file, bytes) }
    if fdatasync(file) == 0 { try? record.note(rows: rows, bytes: bytes) }
    return FileError(
      path: path,
      problem:
        "\(reason.problem); \(record.rows) of \(count) rows are written, and --resume goes on from there")
  }
}
