import Glibc

/// What somebody means by image files, folders, CSV lists and image sets: images in the order of the arguments.
package struct ImageInputs: Sendable, Equatable {
  /// Images that stand in a row: files, the next ones of the list, or those of a set.
  package struct Part: Sendable, Equatable, Codable {
    package let count: Int
    /// The safetensors file; nil for files.
    package let set: String?
  }

  package private(set) var parts: [Part] = []
  package private(set) var files = PathList()

  /// What another rank has found.
  package init(parts: [Part], files: PathList) {
    (self.parts, self.files) = (parts, files)
  }

  /// In the place of a folder the images in it and in the folders inside, in byte order; in the place of a
  /// `.csv` file what its column `path` lists; a `.safetensors` file is an `ImageSet`; all else is an image
  /// file. Throws where something isn't there, or holds no image.
  package init(_ arguments: [String]) throws {
    for argument in arguments {
      var status = stat()
      guard stat(argument, &status) == 0 else {
        throw ManifestError(path: argument, problem: "can't open: \(String(cString: strerror(errno)))")
      }
      if status.st_mode & S_IFMT == S_IFDIR {
        append(try Self.images(inFolder: argument))
      } else if Self.hasExtension(argument, "csv") {
        try appendList(argument)
      } else if Self.hasExtension(argument, "safetensors") {
        parts.append(Part(count: try ImageSet.Layout.read(argument).count, set: argument))
      } else {
        append([argument])
      }
    }
  }

  package var count: Int { parts.reduce(0) { $0 + $1.count } }

  private mutating func append(_ paths: [String]) {
    for path in paths { files.append(path) }
    if let last = parts.last, last.set == nil {
      parts[parts.count - 1] = Part(count: last.count + paths.count, set: nil)
    } else {
      parts.append(Part(count: paths.count, set: nil))
    }
  }

  /// The rows of a CSV file with a header and a column `path`, relative to the folder that holds it unless
  /// absolute. Other columns are passed over.
  private mutating func appendList(_ path: String) throws(ManifestError) {
    func error(_ line: Int?, _ problem: String) -> ManifestError {
      ManifestError(path: path, line: line, problem: problem)
    }
    let bytes: [UInt8]
    do { bytes = try ImageFile.read(path) } catch { throw ManifestError(path: path, problem: error.problem) }
    var reader = CSVReader(bytes: bytes, path: path)
    guard let header = try reader.next() else { throw error(nil, "the list is empty") }
    guard let column = header.fields.firstIndex(of: "path") else {
      throw error(
        header.line, "expects a header with a column path, got \(header.fields.joined(separator: ","))")
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    var found: [String] = []
    while let record = try reader.next() {
      guard record.fields.count == header.fields.count else {
        throw error(
          record.line, "expects \(header.fields.count) fields as in the header, got \(record.fields.count)")
      }
      guard !record.fields[column].isEmpty else { throw error(record.line, "the path is empty") }
      let file = record.fields[column]
      found.append(file.hasPrefix("/") ? file : folder + file)
    }
    guard !found.isEmpty else { throw error(nil, "the list has no rows") }
    append(found)
  }

  private static func hasExtension(_ path: String, _ name: String) -> Bool {
    path.lowercased().hasSuffix("." + name)
  }

  private static func images(inFolder path: String) throws(ManifestError) -> [String] {
    var folder = path
    while folder.count > 1 && folder.hasSuffix("/") { folder.removeLast() }
    let found = try images(in: folder, depth: 0).sorted(by: inByteOrder)
    if found.isEmpty { throw ManifestError(path: path, problem: "holds no PNG, JPEG or TIFF file") }
    return found
  }

  private static func images(in folder: String, depth: Int) throws(ManifestError) -> [String] {
    // A symbolic link may lead back up.
    guard depth < 16 else { throw ManifestError(path: folder, problem: "folders lie too deep in each other") }
    let listing = try FolderListing(folder)
    let prefix = folder == "/" ? folder : folder + "/"
    var found = listing.files.filter(FolderListing.isImage).map { prefix + $0 }
    for name in listing.folders { found += try images(in: prefix + name, depth: depth + 1) }
    return found
  }
}
