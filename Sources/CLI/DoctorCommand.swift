import ArgumentParser
import Collectives
import Diagnosis
import Foundation
import Tensors
import Training

/// `cnn-dist doctor`: what is wrong with this machine or this job, before it costs an hour.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say what is wrong with this machine or this job before it costs an hour.",
    discussion: """
      A line for each thing that is looked at: ok, warning or failure, and how to mend it. Alone it also tries mpirun; as \
      the ranks of a job it looks at all of them. It takes seconds, and writes 32 MB at most, for a moment. The exit \
      status is the number of failures.

      Examples:
        cnn-dist doctor
        mpirun -np 8 cnn-dist doctor --data cells --out /shared/runs
        cnn-dist doctor --hostfile hosts
        srun --mpi=pmix cnn-dist doctor --config configs/blood-cells-resnet18.yaml --data cells --json
      """)

  @Option(name: .long, help: "The run's YAML file, for its batch and lanes.") var config: String?
  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting over those of the file.", valueName: "key=value"))
  var overrides: [String] = []
  @Option(help: "The images: a folder or a file that is read a little.") var data: String?
  @Option(help: "Where the run would be written.") var out = "runs"
  @Option(help: "Hosts as mpirun --hostfile takes them: each is asked by ssh.") var hostfile: String?
  @Flag(help: "Print one JSON object instead of text.") var json = false
  @Flag(help: .hidden) var trial = false

  func run() throws {
    let environment = ProcessInfo.processInfo.environment
    if trial { return try Program.run(answer) }
    do {
      _ = try Launch.detect(environment: environment)
    } catch {
      // Each of the processes is alone: the first of them speaks.
      guard environment["SLURM_PROCID"] ?? "0" == "0" else { return }
      var status: Int32 = 0
      try Program.runAlone {
        status = try examine(Communicator.start(environment: [:]), environment, problem: "\(error)")
      }
      throw ExitCode(status)
    }
    try Program.run { try examine($0, environment, problem: nil) }
  }

  /// The number of failures on rank 0, as an exit status.
  private func examine(
    _ communicator: Communicator, _ environment: [String: String], problem: String?
  ) throws -> Int32 {
    let settings = overrides + (data.map { ["data.path=\(JSONText.quoted($0))"] } ?? [])
    let wanted = try communicator.together {
      try ConfigLoader.load(file: config, overrides: settings).config
    }
    let examination = Examination(
      config: wanted, runs: out, hostfile: hostfile, environment: environment,
      program: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    guard let facts = try examination.facts(communicator, launchProblem: problem) else { return 0 }
    let diagnosed = Diagnosed(facts)
    try Program.output(json ? try JSONOutput.text(diagnosed) : diagnosed.text)
    return Int32(min(diagnosed.failures, 100))
  }

  /// As a rank that `doctor` itself has started.
  private func answer(_ communicator: Communicator) throws -> Int32 {
    let shares = try communicator.canShareMemory()
    if communicator.rank == 0 { try Program.output(MPITrial.answer(sharesMemory: shares)) }
    return 0
  }
}
