/// Images sorted into a folder for each class: either one tree of class folders, which is split by a rule,
/// or the folders `train`, `val` and `test` with class folders in each. Folders inside a class folder (of
/// patients, say) are searched too.
struct ClassFolders {
  private var found: [(path: String, label: String, split: Split?)] = []
  private var classNames: Set<String> = []
  private var ignored = 0
  private let root: String

  init(root: String) throws(ManifestError) {
    self.root = root
    let top = try entries(of: root)
    if top.folders.contains("train") {
      for folder in top.folders {
        guard let split = Split(name: folder) else {
          throw ManifestError(
            path: root, problem: "expects only train, val and test in a split folder, got \(folder)")
        }
        try addClasses(under: folder + "/", split: split)
      }
    } else {
      try addClasses(under: "", split: nil)
    }
    guard !classNames.isEmpty else {
      throw ManifestError(path: root, problem: "has neither a manifest.csv nor class folders")
    }
  }

  func dataset(classes allowed: [String]?, rule: SplitRule) throws(ManifestError) -> Dataset {
    let classes = allowed ?? classNames.sorted(by: inByteOrder)
    if let extra = classNames.subtracting(classes).min(by: inByteOrder) {
      throw ManifestError(
        path: root, problem: "the folder \(extra) is none of the classes \(classes.joined(separator: ", "))")
    }
    let places = Dictionary(classes.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    var samples = found.compactMap { file in
      places[file.label].map { Sample(path: file.path, label: $0, split: file.split ?? .train) }
    }
    if found.first?.split == nil { samples = rule.assign(samples, classCount: classes.count) }
    return Dataset(root: root, classes: classes, samples: samples, ignoredFiles: ignored)
  }

  private mutating func addClasses(under prefix: String, split: Split?) throws(ManifestError) {
    let level = try entries(of: prefix.isEmpty ? root : root + "/" + prefix.dropLast())
    for label in level.folders {
      classNames.insert(label)
      try addImages(in: prefix + label, label: label, split: split, depth: 0)
    }
  }

  private mutating func addImages(in folder: String, label: String, split: Split?, depth: Int)
    throws(ManifestError)
  {
    // A symbolic link may lead back up.
    guard depth < 16 else {
      throw ManifestError(path: root + "/" + folder, problem: "folders lie too deep in each other")
    }
    let level = try entries(of: root + "/" + folder)
    for name in level.files {
      if FolderListing.isImage(name) {
        found.append((folder + "/" + name, label, split))
      } else {
        ignored += 1
      }
    }
    for name in level.folders {
      try addImages(in: folder + "/" + name, label: label, split: split, depth: depth + 1)
    }
  }

  private mutating func entries(of path: String) throws(ManifestError) -> FolderListing {
    let listing = try FolderListing(path)
    ignored += listing.hiddenFiles
    return listing
  }
}
