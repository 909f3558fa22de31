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

  /// Runs it and waits. Throws `ChildJobError` where it fails.
  func run(in folder: String) throws -> StepHashes {
    let (record, log) = ("\(folder)/hashes.json", "\(folder)/log.txt")
    // Ranks may outnumber cores, since nobody measures.
    let job = ChildJob(
      launcher: launcher, ranks: ranks,
      arguments: ["verify", "--record", record] + arguments + (writesNumbers ? ["--floats", folder] : []),
      environment: instructionSet.map { ["CNN_DIST_ISA": $0.rawValue] } ?? [:], oversubscribes: true)
    let running = try job.start(output: log, errors: log)
    try running.wait()
    guard let data = FileManager.default.contents(atPath: record) else {
      throw FileError(
        path: record, problem: "the job should have written it: \(try job.words.joined(separator: " "))")
    }
    return try JSONDecoder().decode(StepHashes.self, from: data)
  }
}
