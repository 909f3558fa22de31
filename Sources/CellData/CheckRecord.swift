import Foundation
import Tensors

/// The result of a check on disk, valid as long as no file of the data set changes.
package struct CheckRecord: Sendable, Equatable, Codable {
  package let key: String
  package let part: CheckPart

  package init(key: String, part: CheckPart) {
    self.key = key
    self.part = part
  }

  /// Hash of the path, size and time of every file and of what else the result of a check depends on.
  /// Asks the file system about each file, but opens none.
  package static func key(of check: DataCheck) -> String {
    var hasher = ContentHasher()
    hasher.update("1 \(check.level.rawValue) \(check.preparation) \(check.dataset.fingerprint)")
    for index in check.dataset.samples.indices {
      let path = check.dataset.path(of: index)
      var status = stat()
      let found = stat(path, &status) == 0
      hasher.update(
        found
          ? "\0\(path)\0\(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)"
          : "\0\(path)\0missing")
    }
    return "\(hasher.finish())"
  }

  /// The result kept at `path` if it has this key; nil where there is none, or where it can't be read.
  package static func read(_ path: String, key: String) -> CheckPart? {
    guard let bytes = try? ImageFile.read(path),
      let record = try? JSONDecoder().decode(CheckRecord.self, from: Data(bytes)), record.key == key
    else { return nil }
    return record.part
  }

  package func write(to path: String) throws(FileError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let data = try? encoder.encode(self) else { preconditionFailure("a check's result is always JSON") }
    try DurableFile.replace(path, with: [UInt8](data))
  }
}
