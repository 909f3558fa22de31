import Foundation
import Tensors

/// What stands beside an output that isn't complete (`FILE.progress`): how much of it is written, and what it was
/// begun with. `--resume` goes on from there; when the output is complete the record goes.
///
/// The first line has a fixed length and is overwritten in place: that needs no room on a full disk, and no
/// moment is there when the record is gone.
final class PredictionRecord {
  /// What must be the same for rows to belong to the same output.
  typealias Settings = [String: String]

  private struct Contents: Codable {
    let rows: Int
    let bytes: Int
    let settings: Settings
  }

  let path: String
  /// Whole rows of the output that are safe on the disk, and the bytes before the next.
  private(set) var rows: Int
  private(set) var bytes: Int
  private let file: Int32

  static func path(of output: String) -> String { output + ".progress" }

  /// Of a new output. Throws `FileError`.
  init(newFor output: String, _ settings: Settings) throws {
    (path, rows, bytes) = (Self.path(of: output), 0, 0)
    file = try Self.opened(path, creating: true)
    let pairs = settings.sorted { $0.key < $1.key }.map {
      "\n  \(JSONText.quoted($0.key)): \(JSONText.quoted($0.value))"
    }
    let text = Self.line(rows: 0, bytes: 0) + " \"settings\": {\(pairs.joined(separator: ","))}}\n"
    guard ftruncate(file, 0) == 0, Self.write(Array(text.utf8), to: file, at: 0), fsync(file) == 0 else {
      let error = FileError(path: path, cannot: "write")
      unlink(path)
      throw error
    }
  }

  /// Of an output that was begun. Throws where there is none, where another job has it, or where it was begun with
  /// other settings.
  init(resuming output: String, _ settings: Settings) throws {
    path = Self.path(of: output)
    guard access(output, F_OK) == 0 else {
      throw FileError(path: output, problem: "is not there, so there is nothing to resume")
    }
    guard access(path, F_OK) == 0 else {
      throw FileError(path: output, problem: "is complete (no \(path) beside it): there is nothing to resume")
    }
    file = try Self.opened(path, creating: false)
    guard let data = FileManager.default.contents(atPath: path),
      let contents = try? JSONDecoder().decode(Contents.self, from: data), contents.rows >= 0,
      contents.bytes >= 0
    else { throw FileError(path: path, problem: "is damaged: remove it and \(output), and begin anew") }
    (rows, bytes) = (contents.rows, contents.bytes)
    let names = Set(settings.keys).union(contents.settings.keys).sorted()
    if let name = names.first(where: { settings[$0] != contents.settings[$0] }) {
      let (then, now) = (contents.settings[name] ?? "nothing", settings[name] ?? "nothing")
      throw FileError(path: output, problem: "was begun with \(name) \(then), now it is \(now): can't resume")
    }
  }

  deinit { close(file) }

  /// Notes that so much is safe on the disk. Throws `FileError`.
  func note(rows: Int, bytes: Int) throws {
    (self.rows, self.bytes) = (rows, bytes)
    guard Self.write(Array(Self.line(rows: rows, bytes: bytes).utf8), to: file, at: 0), fdatasync(file) == 0
    else {
      throw FileError(path: path, cannot: "write")
    }
  }

  /// The output is complete.
  func remove() throws { if unlink(path) != 0 { throw FileError(path: path, cannot: "remove") } }

  private static func line(rows: Int, bytes: Int) -> String {
    func padded(_ number: Int) -> String {
      let digits = String(number)
      return String(repeating: " ", count: 20 - digits.count) + digits
    }
    return "{\"rows\": \(padded(rows)), \"bytes\": \(padded(bytes)),\n"
  }

  private static func opened(_ path: String, creating: Bool) throws -> Int32 {
    let file = open(path, creating ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDWR | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw FileError(path: path, cannot: creating ? "create" : "open") }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      defer { close(file) }
      guard errno == EWOULDBLOCK else { throw FileError(path: path, cannot: "lock") }
      throw FileError(path: path, problem: "in use by another job")
    }
    return file
  }

  /// Whether all bytes were written; otherwise `errno` says why not.
  static func write(_ bytes: [UInt8], to file: Int32, at offset: Int) -> Bool {
    bytes.withUnsafeBytes { write($0, to: file, at: offset) }
  }

  static func write(_ bytes: UnsafeRawBufferPointer, to file: Int32, at offset: Int) -> Bool {
    var written = 0
    while written < bytes.count {
      let count = pwrite(
        file, bytes.baseAddress.map { $0 + written }, bytes.count - written, offset + written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      written += count
    }
    return true
  }
}
