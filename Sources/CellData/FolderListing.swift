import Glibc

/// What lies in a folder, in byte order. Hidden folders are passed over.
struct FolderListing {
  private(set) var folders: [String] = []
  private(set) var files: [String] = []
  /// How many files are hidden, and so not among the others.
  private(set) var hiddenFiles = 0

  init(_ path: String) throws(ManifestError) {
    func failure(_ action: String) -> ManifestError {
      ManifestError(path: path, problem: "can't \(action): \(String(cString: strerror(errno)))")
    }
    guard let directory = opendir(path) else { throw failure("open the folder") }
    defer { closedir(directory) }
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        guard errno == 0 else { throw failure("read the folder") }
        break
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: UInt8.self, capacity: 256) { String(validatingCString: $0) }
      }
      guard let name else {
        throw ManifestError(path: path, problem: "holds a file whose name is not UTF-8 text")
      }
      if name == "." || name == ".." { continue }
      let isFolder: Bool
      switch Int(entry.pointee.d_type) {
      case Int(DT_DIR): isFolder = true
      case Int(DT_REG): isFolder = false
      default: isFolder = Self.isFolder(path + "/" + name)  // a link, or a file system that doesn't say
      }
      if name.hasPrefix(".") {
        if !isFolder { hiddenFiles += 1 }
      } else if isFolder {
        folders.append(name)
      } else {
        files.append(name)
      }
    }
    folders.sort(by: inByteOrder)
    files.sort(by: inByteOrder)
  }

  static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether a file is an image by its name.
  static func isImage(_ name: String) -> Bool {
    guard let dot = name.lastIndex(of: ".") else { return false }
    return ["png", "jpg", "jpeg", "tif", "tiff"].contains(name[name.index(after: dot)...].lowercased())
  }
}

extension String {
  /// The text up to a zero byte, or nil where it is not UTF-8.
  fileprivate init?(validatingCString bytes: UnsafePointer<UInt8>) {
    var count = 0
    while bytes[count] != 0 { count += 1 }
    self.init(validating: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }
}
