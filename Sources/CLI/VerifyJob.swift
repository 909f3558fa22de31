import Foundation
import Tensors
import Training

/// One of the jobs that `verify` compares: this program on some ranks of this machine, which records the hashes
/// of its steps.
struct VerifyJob {
  /// The command that starts ranks; none for a process alone.
  let launcher: [String]
  let ranks: Int
  let instructionSet: InstructionSet?
  let arguments: [String]
  let writesNumbers: Bool

  /// Runs it and waits. Throws `VerifyError` where it fails.
  func run(in folder: String) throws -> StepHashes {
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let (record, log) = ("\(folder)/hashes.json", "\(folder)/log.txt")
    let words =
      (launcher.isEmpty ? [] : launcher + ["-np", "\(ranks)"])
      + [program, "verify", "--record", record] + arguments + (writesNumbers ? ["--floats", folder] : [])
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.environment = environment
    try DurableFile.write([], to: log, waitingForDisk: false)
    let output = FileHandle(forWritingAtPath: log)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0, let data = FileManager.default.contents(atPath: record) else {
      let said = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
      throw VerifyError(
        command: words.joined(separator: " "), status: process.terminationStatus,
        output: said.split(separator: "\n").prefix(8).joined(separator: "\n"))
    }
    return try JSONDecoder().decode(StepHashes.self, from: data)
  }

  /// Ranks may outnumber cores here, since nobody measures, and whoever runs this as root may start ranks as
  /// root. OpenMPI wants both in words: 4 in its own, 5 in PRRTE's; other MPIs don't read them.
  private var environment: [String: String] {
    var environment = ProcessInfo.processInfo.environment
    if let instructionSet { environment["CNN_DIST_ISA"] = instructionSet.rawValue }
    guard !launcher.isEmpty else { return environment }
    environment["OMPI_MCA_rmaps_base_oversubscribe"] = "1"
    environment["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    if geteuid() == 0 {
      for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] { environment[name] = "1" }
    }
    return environment
  }
}

/// A job that couldn't be compared.
struct VerifyError: Error, CustomStringConvertible {
  let command: String
  let status: Int32
  let output: String

  var description: String { "a job ended with status \(status):\n\(output)\nthe command was: \(command)" }
}
