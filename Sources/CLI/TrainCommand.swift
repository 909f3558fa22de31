import ArgumentParser
import Collectives
import Foundation
import Reports
import Tensors
import Training

/// `cnn-dist train`.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a network on labelled images.",
    discussion: """
      Without arguments it trains a small network on synthetic cells made on the spot, which takes about a minute on \
      two cores. DATA is a folder with manifest.csv (path,label,split), a .csv manifest, a folder with one folder of \
      images for each class, or one with such folders under train/, val/ and test/.

      SIGINT, SIGTERM and SIGUSR1 finish the step, write a checkpoint and exit with status 3; a second signal exits \
      at once.

      Examples:
        cnn-dist train
        cnn-dist train --data cells --out runs/cells --set model.name=resnet18 --set training.epochs=20
        mpirun -np 2 cnn-dist train --trace trace.json
        mpirun -np 8 cnn-dist train --config configs/blood-cells-resnet18.yaml --data cells
        cnn-dist train --resume --out runs/cells --set training.epochs=40
      """)

  @Option(name: .long, help: "A YAML file; configs/reference.yaml says what it may hold.") var config: String?
  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting over those of the file.", valueName: "key=value"))
  var overrides: [String] = []
  @Option(help: "The images: a folder or a manifest.") var data: String?
  @Option(help: "The run directory (default: runs/MODEL-TIME-N).") var out: String?
  @Option(
    help: "A file for the phases of all ranks and lanes, to be seen in ui.perfetto.dev or chrome://tracing.")
  var trace: String?
  @Flag(help: "Continue the run in --out from its newest whole checkpoint.") var resume = false

  func validate() throws {
    if resume && out == nil { throw ValidationError("--resume expects --out RUN, the run to continue") }
    if resume && config != nil {
      throw ValidationError("--resume takes the run's own configuration; change it by --set")
    }
  }

  func run() throws {
    try Program.run { communicator in
      StopSignals.install()
      let options = TrainOptions(
        config: config, overrides: overrides + (data.map { ["data.path=\(JSONText.quoted($0))"] } ?? []),
        directory: out,
        resume: resume, trace: trace)
      let job = try TrainingJob.prepare(options, communicator: communicator)
      let listeners = try communicator.together { try Self.sinks(of: job) }
      switch try Trainer(job, sinks: listeners).run(resume: resume) {
      case .finished: return 0
      case .stopped: return Program.Status.stoppedBySignal
      }
    }
  }

  /// Rank 0 speaks, the others only when something is wrong.
  static func sinks(of job: TrainingJob) throws -> [any RunSink] {
    guard let directory = job.directory else { return [] }
    return [
      TerminalProgress(environment: ProcessInfo.processInfo.environment),
      try LogFileSink(path: directory.logPath, stepsBetweenLines: job.config.log.everySteps),
      JSONLinesSink(path: directory.metricsPath, stepsBetweenLines: job.config.log.everySteps),
    ]
  }
}
