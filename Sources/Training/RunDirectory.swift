import Foundation
import Tensors

/// The directory of a run, held by one job at a time.
///
///     config.yaml  metrics.jsonl  log.txt  checkpoints/step-XXXXXXXX/  best → …  latest → …  lock
///
/// The lock is the operating system's (flock), so it ends with the process, however that ends; the file
/// only says who holds it.
package final class RunDirectory: Sendable {
  package enum Opening: Sendable {
    /// Refuses a directory that holds anything.
    case new
    /// Expects a run to be there.
    case resume
  }

  package let path: String
  private let lock: Int32

  package var configPath: String { Self.configPath(of: path) }
  package var logPath: String { "\(path)/log.txt" }
  package var metricsPath: String { "\(path)/metrics.jsonl" }

  package static func configPath(of run: String) -> String { "\(run)/\(configName)" }

  private static let configName = "config.yaml"

  /// Opens `path` and takes its lock. Throws `RunDirectoryError` or `FileError`.
  package init(_ path: String, _ opening: Opening) throws {
    self.path = path
    switch opening {
    case .resume:
      guard DirectoryTree.exists(Self.configPath(of: path)) else {
        throw RunDirectoryError(path: path, problem: "no run to resume (it holds no \(Self.configName))")
      }
    case .new:
      try DirectoryTree.create(path)
      // Not even a lock is left in a directory that belongs to something else.
      if !DirectoryTree.exists("\(path)/\(Self.lockName)") { try Self.requireEmpty(path) }
    }
    let file = try Self.takeLock(of: path)
    do {
      if opening == .new { try Self.requireEmpty(path) }
    } catch {
      close(file)
      throw error
    }
    lock = file
  }

  private static func requireEmpty(_ path: String) throws {
    guard let first = try DirectoryTree.names(in: path).first(where: { $0 != lockName }) else { return }
    throw RunDirectoryError(
      path: path,
      problem: DirectoryTree.exists(configPath(of: path))
        ? "already holds a run; continue it with --resume, or choose another --out"
        : "expects an empty directory for a new run, but it holds \(first)")
  }

  deinit { close(lock) }

  /// Makes and opens `parent/MODEL-TIMESTAMP-N` with the first N that is free.
  package static func create(under parent: String = "runs", model: String, at time: Date = Date()) throws
    -> RunDirectory
  {
    try DirectoryTree.create(parent)
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.dateFormat = "yyyyMMdd-HHmmss"
    let stem = "\(parent)/\(model)-\(format.string(from: time))"
    var number = 1
    while mkdir("\(stem)-\(number)", 0o755) != 0 {
      guard errno == EEXIST else {
        throw FileError(path: "\(stem)-\(number)", cannot: "create the directory")
      }
      number += 1
    }
    return try RunDirectory("\(stem)-\(number)", .new)
  }
}

extension RunDirectory {
  /// Saves the effective configuration.
  package func save(_ config: RunConfig) throws {
    try DurableFile.replace(configPath, with: Array(try config.encodedYAML().utf8))
  }
}

extension RunDirectory {
  private static let lockName = "lock"

  /// Locks `path/lock` and writes who holds it. The descriptor is closed on exec, so no child keeps it.
  private static func takeLock(of path: String) throws -> Int32 {
    let name = "\(path)/\(lockName)"
    let file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw FileError(path: name, cannot: "create") }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      defer { close(file) }
      guard errno == EWOULDBLOCK else { throw FileError(path: name, cannot: "lock") }
      let holder = (try? DirectoryTree.contents(of: name)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      let who = holder.split(separator: "\n").first.map { " (\($0))" } ?? ""
      throw RunDirectoryError(path: path, problem: "in use by another job\(who)")
    }
    let text = "pid \(getpid()) on \(ProcessInfo.processInfo.hostName)\n"
    guard ftruncate(file, 0) == 0, text.withCString({ write(file, $0, strlen($0)) }) == text.utf8.count else {
      defer { close(file) }
      throw FileError(path: name, cannot: "write")
    }
    return file
  }
}

/// A run directory that can't be used.
package struct RunDirectoryError: Error, Equatable, CustomStringConvertible {
  package let path: String
  package let problem: String

  package init(path: String, problem: String) { (self.path, self.problem) = (path, problem) }

  package var description: String { "\(path): \(problem)" }
}
