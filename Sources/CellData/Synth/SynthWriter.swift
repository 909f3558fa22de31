import Glibc
import Tensors

/// Writes synthetic cells as a data set: `KIND/KIND_00012.png`, `manifest.csv` (path, label, split) and
/// `montage.png`. The folder appears whole or not at all: it is made as `FOLDER.partial` and renamed.
package struct SynthWriter {
  package let cells: SyntheticCells
  package let count: Int
  package let rule: SplitRule

  package init(cells: SyntheticCells, count: Int, rule: SplitRule) {
    precondition(count > 0, "a data set expects at least one image, not \(count)")
    self.cells = cells
    self.count = count
    self.rule = rule
  }

  /// Throws where `folder` exists and is not an empty folder. `progress` is called with the number of
  /// images written so far, after each of them.
  package func write(to folder: String, progress: (Int) -> Void = { _ in }) throws(FileError) {
    var target = folder[...]
    while target.count > 1, target.last == "/" { target.removeLast() }
    let folder = String(target)
    let partial = folder + ".partial"
    if let name = try firstEntry(of: folder) {
      throw FileError(path: folder, problem: "the folder is not empty (it holds \(name))")
    }
    if try firstEntry(of: partial) != nil {
      throw FileError(
        path: partial, problem: "is left over from a data set that was not finished, or is being written")
    }
    try makeFolders(partial)
    for (label, kind) in cells.kindNames.enumerated() where label < count {
      try makeFolder(partial + "/" + kind)
    }

    var manifest = "path,label,split\n"
    for (index, split) in cells.splits(count: count, rule: rule).enumerated() {
      let kind = cells.kindNames[cells.label(index)]
      let number = SyntheticCells.padded(index, digits: max(5, SyntheticCells.digits(count)))
      let path = "\(kind)/\(kind)_\(number).png"
      try write(cells.image(index).png(), to: partial + "/" + path)
      manifest += "\(path),\(kind),\(split.rawValue)\n"
      progress(index + 1)
    }
    try write(Montage.of(cells, count: count).png(), to: partial + "/montage.png")
    try write(Array(manifest.utf8), to: partial + "/manifest.csv")
    guard rename(partial, folder) == 0 else {
      throw FileError(path: folder, cannot: "rename \(partial) to it")
    }
  }

  /// Without waiting for the disk, which would take longer than the drawing: what is lost in a power cut
  /// can be drawn again.
  private func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    try DurableFile.write(bytes, to: path, waitingForDisk: false)
  }

  /// The name of something in the folder; nil where it is empty or doesn't exist.
  private func firstEntry(of folder: String) throws(FileError) -> String? {
    guard let entries = opendir(folder) else {
      if errno == ENOENT { return nil }
      throw FileError(path: folder, cannot: "open the folder")
    }
    defer { closedir(entries) }
    while let entry = readdir(entries) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { return name }
    }
    return nil
  }

  /// The folder and those that it lies in, where they don't exist.
  private func makeFolders(_ folder: String) throws(FileError) {
    let parts = folder.split(separator: "/", omittingEmptySubsequences: false)
    for length in 1...parts.count {
      let path = parts.prefix(length).joined(separator: "/")
      if !path.isEmpty { try makeFolder(path) }
    }
  }

  private func makeFolder(_ path: String) throws(FileError) {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
    guard mkdir(path, 0o755) == 0 else { throw FileError(path: path, cannot: "create the folder") }
  }
}
