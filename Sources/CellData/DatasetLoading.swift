import Glibc

extension Dataset {
  /// Reads the index of a data set: a folder with `manifest.csv`, a `.csv` file, or class folders.
  ///
  /// `classes` lists the allowed labels in the order of the network's outputs; nil takes those that occur,
  /// in byte order. `rule` splits what isn't split. With `forTraining` every class must have an image to
  /// train on.
  package static func load(
    path: String, classes: [String]? = nil, rule: SplitRule = SplitRule(), forTraining: Bool = true
  ) throws(ManifestError) -> Dataset {
    let dataset = try loadUnchecked(path: path, classes: classes, rule: rule)
    if forTraining { try dataset.checkTrainable() }
    return dataset
  }

  private static func loadUnchecked(
    path given: String, classes: [String]?, rule: SplitRule
  ) throws(ManifestError) -> Dataset {
    var path = given
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw ManifestError(path: given, problem: "can't open the data: \(String(cString: strerror(errno)))")
    }
    if status.st_mode & S_IFMT == S_IFDIR {
      let manifest = path + "/manifest.csv"
      if stat(manifest, &status) == 0 {
        return try Manifest(path: manifest).dataset(root: path, classes: classes, rule: rule)
      }
      return try ClassFolders(root: path).dataset(classes: classes, rule: rule)
    }
    guard path.lowercased().hasSuffix(".csv") else {
      throw ManifestError(path: path, problem: "expects a folder or a .csv manifest as data")
    }
    let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    return try Manifest(path: path).dataset(root: parent, classes: classes, rule: rule)
  }
}
