import ArgumentParser

/// `cnn-dist bench`: figures with the command that made them.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure speed, with the code that training runs.",
    subcommands: [
      BenchStepCommand.self, BenchInferenceCommand.self, BenchKernelsCommand.self, BenchPeakCommand.self,
      BenchReduceCommand.self,
    ])
}
