import Glibc

/// A regular file, mapped into memory to be read.
package final class MappedFile: @unchecked Sendable {
  package let path: String
  /// Valid as long as the object lives.
  package let bytes: UnsafeRawBufferPointer

  /// Throws `FileError` where there is no regular file of at least a byte to read.
  package init(path: String) throws(FileError) {
    self.path = path
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw FileError(path: path, cannot: "open") }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw FileError(path: path, cannot: "read the size of") }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(path: path, problem: "not a regular file")
    }
    let size = Int(status.st_size)
    guard size > 0 else { throw FileError(path: path, problem: "an empty file (0 bytes)") }
    guard let memory = mmap(nil, size, PROT_READ, MAP_PRIVATE, file, 0), memory != MAP_FAILED else {
      throw FileError(path: path, cannot: "map into memory")
    }
    bytes = UnsafeRawBufferPointer(start: memory, count: size)
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
