import Glibc

/// The operating system refused something about a file.
package struct FileError: Error, CustomStringConvertible {
  package let path: String
  package let problem: String

  package init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }

  /// With the reason that `errno` gives right now.
  package init(path: String, cannot action: String) {
    self.init(path: path, problem: "can't \(action): \(String(cString: strerror(errno)))")
  }

  package var description: String { "\(path): \(problem)" }
}

/// Files that are whole when a call returns, and on the disk unless the caller can do without.
package enum DurableFile {
  /// Writes `bytes` to a new or emptied file and waits for the disk, unless told not to. The caller
  /// renames it into place where readers must never see half a file (`replace` does both).
  package static func write(
    _ bytes: [UInt8], to path: String, waitingForDisk: Bool = true
  ) throws(FileError) {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw FileError(path: path, cannot: "create") }
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(file, $0.baseAddress.map { $0 + written }, bytes.count - written)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        let error = FileError(path: path, cannot: "write")
        close(file)
        throw error
      }
      written += count
    }
    guard !waitingForDisk || fsync(file) == 0 else {
      let error = FileError(path: path, cannot: "flush to disk")
      close(file)
      throw error
    }
    guard close(file) == 0 else { throw FileError(path: path, cannot: "close") }
  }

  /// Puts `bytes` in the place of `path`: readers see the old file or the new one, never half of it.
  package static func replace(_ path: String, with bytes: [UInt8]) throws(FileError) {
    let temporary = path + ".tmp"
    do throws(FileError) {
      try write(bytes, to: temporary)
      guard rename(temporary, path) == 0 else {
        throw FileError(path: path, cannot: "rename \(temporary) to it")
      }
    } catch {
      // On a full disk the half file would be in the way of whoever makes room.
      unlink(temporary)
      throw error
    }
    try flushDirectory(of: path)
  }

  /// Makes the names in the directory that holds `path` durable.
  package static func flushDirectory(of path: String) throws(FileError) {
    let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(
      separator: "/")
    let directory = parent.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : parent
    let file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { throw FileError(path: directory, cannot: "open") }
    defer { close(file) }
    guard fsync(file) == 0 else { throw FileError(path: directory, cannot: "flush to disk") }
  }
}
