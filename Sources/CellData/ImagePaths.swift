import Glibc

/// The image files that somebody means by files and folders.
package enum ImagePaths {
  /// Files as they are given; in the place of a folder the images in it and in the folders inside, in byte
  /// order. Throws where something isn't there, or where a folder holds no image.
  package static func expand(_ paths: [String]) throws(ManifestError) -> [String] {
    var images: [String] = []
    for path in paths {
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw ManifestError(path: path, problem: "can't open: \(String(cString: strerror(errno)))")
      }
      guard status.st_mode & S_IFMT == S_IFDIR else {
        images.append(path)
        continue
      }
      var folder = path
      while folder.count > 1 && folder.hasSuffix("/") { folder.removeLast() }
      let found = try Self.images(in: folder, depth: 0).sorted(by: inByteOrder)
      if found.isEmpty { throw ManifestError(path: path, problem: "holds no PNG, JPEG or TIFF file") }
      images += found
    }
    return images
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
