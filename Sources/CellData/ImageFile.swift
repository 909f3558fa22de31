import Glibc

/// Whole files as bytes, each opened once.
package enum ImageFile {
  /// Larger files are taken for a mistake: 4 GiB.
  private static let sizeLimit = 1 << 32

  package static func read(_ path: String) throws(ImageError) -> [UInt8] {
    let file = try OpenFile(path)
    return try file.read(upTo: file.size)
  }

  /// Hands the first `count` bytes to `body`, and the whole file where it has no result from those. `body`
  /// is told whether it sees the whole.
  package static func read<Result>(
    _ path: String, first count: Int, _ body: ([UInt8], Bool) throws(ImageError) -> Result?
  ) throws(ImageError) -> Result? {
    let file = try OpenFile(path)
    if count < file.size, let result = try? body(file.read(upTo: count), false) { return result }
    return try body(file.read(upTo: file.size), true)
  }

  private struct OpenFile: ~Copyable {
    let path: String
    let descriptor: Int32
    let size: Int

    init(_ path: String) throws(ImageError) {
      let (descriptor, size) = try Self.openFile(path)
      self.path = path
      self.descriptor = descriptor
      self.size = size
    }

    private static func openFile(_ path: String) throws(ImageError) -> (descriptor: Int32, size: Int) {
      guard !path.utf8.contains(0) else {
        throw ImageError(path: path, problem: "the path holds a zero byte")
      }
      // Non-blocking, so that a pipe in the folder is refused and not waited for.
      let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      guard descriptor >= 0 else { throw failure(path, "open") }
      var status = stat()
      var problem: ImageError?
      if fstat(descriptor, &status) != 0 {
        problem = failure(path, "read")
      } else if status.st_mode & S_IFMT != S_IFREG {
        problem = ImageError(path: path, problem: "is not a file")
      } else if Int(status.st_size) > ImageFile.sizeLimit {
        problem = ImageError(
          path: path, problem: "\(status.st_size) bytes are more than the limit of \(ImageFile.sizeLimit)")
      }
      if let problem {
        close(descriptor)
        throw problem
      }
      return (descriptor, Int(status.st_size))
    }

    deinit { close(descriptor) }

    /// The first `count` bytes. A file that shrank meanwhile gives what it still has.
    func read(upTo count: Int) throws(ImageError) -> [UInt8] {
      var failed: ImageError?
      let bytes = [UInt8](unsafeUninitializedCapacity: count) { target, filled in
        while filled < count {
          let got = pread(descriptor, target.baseAddress.map { $0 + filled }, count - filled, filled)
          if got < 0 && errno == EINTR { continue }
          if got < 0 { failed = Self.failure(path, "read") }
          if got <= 0 { break }
          filled += got
        }
      }
      if let failed { throw failed }
      return bytes
    }

    private static func failure(_ path: String, _ action: String) -> ImageError {
      ImageError(path: path, problem: "can't \(action): \(String(cString: strerror(errno)))")
    }
  }
}
