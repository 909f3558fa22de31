import Foundation
import Tensors

/// Runs `body` with the path of a new, empty directory that is gone afterwards.
func withScratchDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
    "cnn-dist-\(UUID().uuidString)"
  ).path
  try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: directory) }
  return try body(directory)
}

/// A file beside the scripts that made it.
func golden(_ name: String) -> String {
  Bundle.module.bundleURL.appendingPathComponent("Golden/\(name)").path
}

/// File systems that are full or read-only: root ignores mode bits, so only a mount makes them true.
enum Mount {
  static let possible = run("/bin/mount", ["--version"]) && getuid() == 0 && canMount()

  static func withMounted(_ arguments: [String], at path: String, _ body: () throws -> Void) throws {
    guard run("/bin/mount", arguments) else { throw FileError(path: path, problem: "can't mount") }
    defer { _ = run("/bin/umount", ["-l", path]) }
    try body()
  }

  private static func canMount() -> Bool {
    let mounted: Void? = try? withScratchDirectory { path in
      try withMounted(["-t", "tmpfs", "tmpfs", path], at: path) {}
    }
    return mounted != nil
  }

  private static func run(_ program: String, _ arguments: [String]) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
