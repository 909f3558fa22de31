import Glibc
import Tensors

/// A file that a command was asked to make, and that must not be there yet.
struct NewFile {
  let path: String

  init(_ path: String) { self.path = path }

  /// Throws what would go wrong in the end, before the work begins.
  func check() throws(FileError) {
    var status = stat()
    if lstat(path, &status) == 0 {
      throw FileError(path: path, problem: "is there already; choose another name")
    }
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard access(folder, W_OK | X_OK) == 0 else { throw FileError(path: path, cannot: "create") }
  }

  /// Writes the file, whole or not at all.
  func write(_ bytes: [UInt8]) throws(FileError) {
    try check()
    try DurableFile.replace(path, with: bytes)
  }
}
