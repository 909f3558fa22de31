import Foundation
import Tensors

/// Directories and links, with errors that name path and reason.
enum DirectoryTree {
  /// Makes `path` and what lacks above it.
  static func create(_ path: String) throws(FileError) {
    var prefix = path.hasPrefix("/") ? "/" : ""
    for component in path.split(separator: "/") {
      prefix += prefix.isEmpty || prefix == "/" ? String(component) : "/" + component
      guard mkdir(prefix, 0o755) == 0 || errno == EEXIST else {
        throw FileError(path: prefix, cannot: "create the directory")
      }
    }
    guard isDirectory(path) else { throw FileError(path: path, problem: "expects a directory, got a file") }
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// The names in a directory, sorted; none where it doesn't exist.
  static func names(in path: String) throws(FileError) -> [String] {
    guard let directory = opendir(path) else {
      if errno == ENOENT { return [] }
      throw FileError(path: path, cannot: "list the directory")
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a file, a link or a directory with all that it holds; nothing where there is nothing.
  static func remove(_ path: String) throws(FileError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      guard unlink(path) == 0 else { throw FileError(path: path, cannot: "remove") }
      return
    }
    for name in try names(in: path) { try remove("\(path)/\(name)") }
    guard rmdir(path) == 0 else { throw FileError(path: path, cannot: "remove the directory") }
  }

  static func move(_ path: String, to target: String) throws(FileError) {
    guard rename(path, target) == 0 else { throw FileError(path: target, cannot: "rename \(path) to it") }
  }

  /// Makes `path` a link to `target` (relative to the directory of `path`), in one step for readers.
  static func link(_ path: String, to target: String) throws(FileError) {
    let temporary = path + ".tmp"
    try remove(temporary)
    guard symlink(target, temporary) == 0 else { throw FileError(path: path, cannot: "create the link") }
    try move(temporary, to: path)
    try DurableFile.flushDirectory(of: path)
  }

  /// What a link says; nil where there is none.
  static func target(ofLink path: String) -> String? {
    try? FileManager.default.destinationOfSymbolicLink(atPath: path)
  }

  /// The bytes of a whole file.
  static func contents(of path: String) throws(FileError) -> [UInt8] {
    guard let file = fopen(path, "r") else { throw FileError(path: path, cannot: "open") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      bytes += buffer.prefix(count)
      guard count == buffer.count else { break }
    }
    guard ferror(file) == 0 else { throw FileError(path: path, cannot: "read") }
    return bytes
  }
}
