import Foundation
import Tensors

/// A command that is tried, with what it said.
struct ChildProcess: Sendable {
  let status: Int32
  let output: String
  let errors: String
  let seconds: Double
  /// Whether it was ended because it took too long.
  let timedOut: Bool

  /// The first line on stderr that says something.
  var complaint: String {
    let lines = errors.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    return lines.first { $0.contains(where: \.isLetter) } ?? "status \(status)"
  }

  /// Runs `words` for at most `patience` seconds; nil where the program can't be started.
  static func run(_ words: [String], patience: Double) -> ChildProcess? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.standardInput = FileHandle.nullDevice
    // Files, not pipes: what the command leaves behind may keep a pipe open.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-doctor-\(UUID())")
    let (out, err) = (folder.appendingPathComponent("out"), folder.appendingPathComponent("err"))
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      for file in [out, err] { try Data().write(to: file) }
      process.standardOutput = try FileHandle(forWritingTo: out)
      process.standardError = try FileHandle(forWritingTo: err)
      let started = monotonicSeconds()
      try process.run()
      while process.isRunning && monotonicSeconds() - started < patience { usleep(5000) }
      let timedOut = process.isRunning
      if timedOut { process.terminate() }
      let grace = monotonicSeconds()
      while process.isRunning && monotonicSeconds() - grace < 2 { usleep(5000) }
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      process.waitUntilExit()
      return ChildProcess(
        status: process.terminationStatus, output: try String(contentsOf: out, encoding: .utf8),
        errors: try String(contentsOf: err, encoding: .utf8), seconds: monotonicSeconds() - started,
        timedOut: timedOut)
    } catch {
      return nil
    }
  }
}
