import Foundation
import Reports
import Tensors
import Training

/// SimGrid's `smpirun`, where it is installed, replaying a forecast's messages.
enum SimGridReplay {
  /// Steps that are replayed, one after another.
  private static let steps = 2

  /// Where smpirun is. Throws what to install.
  static func program() throws(RunError) -> String {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    guard let found = folders.map({ "\($0)/smpirun" }).first(where: FileManager.default.isExecutableFile)
    else {
      throw RunError("--simgrid expects smpirun in PATH: apt-get install libsimgrid-dev")
    }
    return found
  }

  static func run(_ job: ForecastJob) throws -> ForecastReport.Replay {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-simgrid-\(UUID())")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let trace = SimGridTrace(job, steps: steps)
    let words = try [program()] + trace.write(to: folder)
    let log = "\(folder)/log.txt"
    try DurableFile.write([], to: log, waitingForDisk: false)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: words[0])
    process.arguments = Array(words.dropFirst())
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle(forWritingAtPath: log)
    process.standardError = process.standardOutput
    try process.run()
    process.waitUntilExit()
    let said = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
    guard process.terminationStatus == 0, let seconds = SimGridTrace.seconds(in: said) else {
      throw ChildJobError(
        command: words.joined(separator: " "), status: process.terminationStatus,
        output: said.split(separator: "\n").suffix(8).joined(separator: "\n"))
    }
    return ForecastReport.Replay(
      stepSeconds: seconds / Double(steps), walkStepSeconds: trace.walkSeconds / Double(steps))
  }
}
