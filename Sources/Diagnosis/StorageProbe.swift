import Collectives
import Foundation
import Tensors

/// A folder as a job uses it: how fast, how full, of what kind.
package struct StorageFacts: Codable, Sendable, Equatable {
  package var path: String
  /// What the kernel calls the file system: `nfs`, `tmpfs`, …
  package var kind = "unknown"
  /// Why it can't be used; nil where it can.
  package var problem: String?
  package var freeBytes: Int?
  package var bytesPerSecond: Double?
  /// Files opened and read a second; where files are written, nil.
  package var filesPerSecond: Double?

  package init(path: String) { self.path = path }
}

/// Writes or reads a little in a folder, for at most two seconds.
package enum StorageProbe {
  private static let patience = 2.0
  private static let writtenBytes = 32 << 20
  private static let readFiles = 256
  private static let readBytes = 64 << 20

  /// The folder where runs will be written, or what there is of it: a file is written there, flushed to the
  /// disk, locked, and removed.
  package static func writing(to folder: String) -> StorageFacts {
    var facts = StorageFacts(path: folder)
    let existing = existingPart(of: folder)
    (facts.kind, facts.freeBytes) = (kind(of: existing), freeBytes(in: existing))
    if let problem = writingProblem(in: existing) {
      facts.problem = problem
      return facts
    }
    let file = "\(existing)/.cnn-dist-doctor-\(getpid())-\(UUID())"
    let descriptor = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      facts.problem = "\(existing): \(String(cString: strerror(errno)))"
      return facts
    }
    defer {
      close(descriptor)
      unlink(file)
    }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      facts.problem = "\(existing): no file locks (\(String(cString: strerror(errno))))"
      return facts
    }
    let block = [UInt8](unsafeUninitializedCapacity: 1 << 20) { buffer, count in
      // No file system stores the same byte over and over as it stores weights.
      for index in 0..<(1 << 20) { buffer[index] = UInt8(truncatingIfNeeded: index &* 2_654_435_761 >> 13) }
      count = 1 << 20
    }
    let started = monotonicSeconds()
    var written = 0
    while written < min(writtenBytes, (facts.freeBytes ?? .max) / 2),
      monotonicSeconds() - started < patience
    {
      let count = block.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { break }
      written += count
      if written % (4 << 20) == 0 { fsync(descriptor) }
    }
    if fsync(descriptor) != 0 || written == 0 {
      facts.problem = "\(existing): \(String(cString: strerror(errno)))"
    } else {
      facts.bytesPerSecond = Double(written) / max(1e-6, monotonicSeconds() - started)
    }
    return facts
  }

  /// The data: a folder, of which the first files are read, or a file. What the kernel remembers of them is
  /// dropped before, so that it's the medium that is measured.
  package static func reading(from path: String) -> StorageFacts {
    var facts = StorageFacts(path: path)
    var status = stat()
    guard stat(path, &status) == 0 else {
      facts.problem = "\(path): \(String(cString: strerror(errno)))"
      return facts
    }
    (facts.kind, facts.freeBytes) = (kind(of: path), nil)
    let started = monotonicSeconds()
    let isFolder = status.st_mode & S_IFMT == S_IFDIR
    let files = isFolder ? firstFiles(under: path, until: started + patience) : [path]
    guard !files.isEmpty else {
      facts.problem = "\(path): holds no files"
      return facts
    }
    var (bytes, count) = (0, 0)
    let begun = monotonicSeconds()
    for file in files where bytes < readBytes && monotonicSeconds() - begun < patience {
      guard let read = read(file, most: isFolder ? 1 << 20 : readBytes) else {
        facts.problem = "\(file): \(String(cString: strerror(errno)))"
        return facts
      }
      bytes += read
      count += 1
    }
    let seconds = max(1e-6, monotonicSeconds() - begun)
    facts.bytesPerSecond = Double(bytes) / seconds
    facts.filesPerSecond = isFolder ? Double(count) / seconds : nil
    return facts
  }

  /// Why no file can be made in a folder; nil where one can.
  static func writingProblem(in folder: String) -> String? {
    var status = stat()
    guard stat(folder, &status) == 0 else { return "\(folder): \(String(cString: strerror(errno)))" }
    guard status.st_mode & S_IFMT == S_IFDIR else { return "\(folder): not a directory" }
    // Root may write where nobody may, but not on what is mounted read-only.
    return access(folder, W_OK | X_OK) == 0 ? nil : "\(folder): \(String(cString: strerror(errno)))"
  }

  private static func existingPart(of folder: String) -> String {
    var part = folder.hasPrefix("/") ? folder : FileManager.default.currentDirectoryPath + "/" + folder
    var status = stat()
    while part != "/" && stat(part, &status) != 0 && errno == ENOENT {
      part = URL(fileURLWithPath: part).deletingLastPathComponent().path
    }
    return part
  }

  /// Files in a folder and its folders, as they come, without going through millions.
  private static func firstFiles(under root: String, until time: Double) -> [String] {
    var folders = [root]
    var files: [String] = []
    while let folder = folders.popLast(), files.count < readFiles, monotonicSeconds() < time {
      guard let directory = opendir(folder) else { continue }
      defer { closedir(directory) }
      var seen = 0
      // A part of each folder: classes lie in folders of their own.
      while let entry = readdir(directory), seen < readFiles / 4 {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
          String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard !name.hasPrefix(".") else { continue }
        var status = stat()
        guard stat("\(folder)/\(name)", &status) == 0 else { continue }
        if status.st_mode & S_IFMT == S_IFDIR {
          folders.append("\(folder)/\(name)")
        } else {
          files.append("\(folder)/\(name)")
          seen += 1
        }
      }
    }
    return files
  }

  private static func read(_ file: String, most: Int) -> Int? {
    let descriptor = open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    var total = 0
    return withUnsafeTemporaryAllocation(byteCount: 1 << 20, alignment: 64) { buffer in
      while total < most {
        let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
        guard count >= 0 else { return nil }
        guard count > 0 else { break }
        total += count
      }
      return total
    }
  }

  private static func freeBytes(in folder: String) -> Int? {
    var status = statvfs()
    guard statvfs(folder, &status) == 0 else { return nil }
    return Int(status.f_bavail) * Int(status.f_frsize)
  }

  /// The type of the mount that holds a path: `ext4`, `nfs4`, `lustre`, …
  private static func kind(of path: String) -> String {
    guard let real = realpath(path, nil) else { return "unknown" }
    defer { free(real) }
    return MountTable.kind(of: String(cString: real), mounts: kernelText("/proc/self/mounts") ?? "")
  }
}

/// The kernel's table of mounts.
package enum MountTable {
  /// - Parameter mounts: lines of `device folder type options …`, of which the last counts for a folder.
  package static func kind(of path: String, mounts: String) -> String {
    var best = (length: -1, kind: "unknown")
    for line in mounts.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count >= 3 else { continue }
      // Blanks are written in octal.
      let folder = words[1].replacingOccurrences(of: "\\040", with: " ")
      let isAbove = folder == "/" || path == folder || path.hasPrefix(folder + "/")
      if isAbove && folder.count >= best.length { best = (folder.count, String(words[2])) }
    }
    return best.kind
  }
}
