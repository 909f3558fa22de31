import Collectives
import Foundation
import Tensors

/// This program once more, as a job of its own on some ranks.
struct ChildJob {
  /// The command that starts ranks, with its options; none for a process alone.
  let launcher: [String]
  let ranks: Int
  /// What the program is told.
  let arguments: [String]
  /// Beside those of this process.
  var environment: [String: String] = [:]
  /// Whether ranks may outnumber cores.
  var oversubscribes = false
  /// The only CPUs that it may run on; nil for those of this process.
  var cpus: [Int]?

  var words: [String] {
    get throws {
      let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
      // mpirun, mpiexec and srun all understand -n.
      return (launcher.isEmpty ? [] : launcher + ["-n", "\(ranks)"]) + [program] + arguments
    }
  }

  /// A job that has been started.
  struct Running {
    fileprivate let process: Process
    fileprivate let words: [String]
    fileprivate let output: String
    fileprivate let errors: String

    /// Returns when it has ended; what it printed is in its output. Throws `ChildJobError` where it failed.
    func wait() throws {
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        let said = [errors, output].compactMap { FileManager.default.contents(atPath: $0) }
          .map { String(decoding: $0, as: UTF8.self) }.joined()
        throw ChildJobError(
          command: words.joined(separator: " "), status: process.terminationStatus,
          output: said.split(separator: "\n").prefix(8).joined(separator: "\n"))
      }
    }

    /// Ends it, where another of several jobs has failed.
    func stop() {
      process.terminate()
      process.waitUntilExit()
    }
  }

  /// Starts it; what it prints goes to `output`, what it has to say to `errors`, which may be the same file.
  func start(output: String, errors: String) throws -> Running {
    let process = Process()
    let words = try words
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.environment = allEnvironment
    func file(_ path: String) throws -> FileHandle? {
      try DurableFile.write([], to: path, waitingForDisk: false)
      return FileHandle(forWritingAtPath: path)
    }
    let outputFile = try file(output)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = outputFile
    process.standardError = errors == output ? outputFile : try file(errors)
    // A process begins on the CPUs of the thread that starts it.
    let own = CPUAffinity.current
    if let cpus { CPUAffinity.bindCallingThread(to: cpus) }
    defer { if cpus != nil { CPUAffinity.bindCallingThread(to: own) } }
    try process.run()
    return Running(process: process, words: words, output: output, errors: errors)
  }

  /// Whoever runs this as root may start ranks as root. OpenMPI wants that and more ranks than cores in words:
  /// 4 in its own, 5 in PRRTE's; other MPIs don't read them.
  private var allEnvironment: [String: String] {
    var all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    guard !launcher.isEmpty else { return all }
    if oversubscribes {
      all["OMPI_MCA_rmaps_base_oversubscribe"] = "1"
      all["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    }
    if geteuid() == 0 {
      for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] { all[name] = "1" }
    }
    return all
  }
}

/// A job that failed.
struct ChildJobError: Error, CustomStringConvertible {
  let command: String
  let status: Int32
  let output: String

  var description: String { "a job ended with status \(status):\n\(output)\nthe command was: \(command)" }
}
