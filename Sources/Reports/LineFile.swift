import Foundation
import Tensors

/// A text file that grows line by line, each written at once, so that it is whole whenever somebody
/// looks. A line that can't be written (a full disk) is lost and complained about once: the run goes on,
/// since its checkpoints are what must not be lost, and they stop it with an error of their own.
package final class LineFile {
  package let path: String
  private let file: Int32
  private let complain: (FileError) -> Void
  private var hasComplained = false

  /// Opens `path` to append to it. Throws `FileError`.
  package init(path: String, complain: @escaping (FileError) -> Void) throws(FileError) {
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw FileError(path: path, cannot: "open") }
    self.path = path
    self.complain = complain
  }

  deinit { close(file) }

  package func append(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    let count = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
    guard count != bytes.count, !hasComplained else { return }
    hasComplained = true
    complain(
      count < 0
        ? FileError(path: path, cannot: "write")
        : FileError(
          path: path, problem: "only \(count) of \(bytes.count) bytes were written: is the disk full?"))
  }
}

extension LineFile {
  /// Complains on standard error.
  package static func toStandardError(_ error: FileError) {
    FileHandle.standardError.write(Data("warning: \(error)\n".utf8))
  }
}
