import ArgumentParser
import CellData
import Collectives
import Training

/// The options of commands that use what a run has trained.
struct TrainedRunOptions: ParsableArguments {
  @Option(help: "The run directory that `train` has written; not for --weights FILE.onnx.") var run: String?
  @Option(
    help: ArgumentHelp(
      """
      Which weights: best, latest, those of a file, or network and weights of an .onnx file (default: best, or latest where no \
      epoch was evaluated).
      """,
      valueName: "best|latest|FILE"))
  var weights: TrainedRun.Weights?
  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("A setting over those of the run, training.lanes=1 say.", valueName: "key=value"))
  var overrides: [String] = []

  func validate() throws {
    let isONNX = weights?.file?.hasSuffix(".onnx") == true
    guard (run == nil) == isONNX else {
      throw ValidationError(
        isONNX
          ? "--weights FILE.onnx holds the network, too: --run is not needed"
          : "expects --run RUN, or --weights FILE.onnx")
    }
  }

  /// Opens the run on every rank, and says on rank 0 what is odd about where it computes.
  func open(_ communicator: Communicator, data: String? = nil) throws -> TrainedRun {
    let trained =
      if let run {
        try TrainedRun(run, weights: weights, overrides: overrides, data: data, communicator: communicator)
      } else {
        try TrainedRun(
          onnx: weights?.file ?? "", overrides: overrides, data: data, communicator: communicator)
      }
    if communicator.rank == 0 {
      for warning in trained.place.placement.warnings { Program.say("warning: \(warning)") }
    }
    return trained
  }
}

extension TrainedRun {
  /// Which weights of which run, in words.
  var title: String {
    if weights.file == path { return "\(path): \(config.modelName), \(classes.count) classes" }
    let epochs = checkpoint.epoch
    let which = weights.file.map { "weights of \($0)" } ?? "\(weights.text) weights"
    return "\(path): \(config.modelName), \(which), after \(epochs) "
      + "\(epochs == 1 ? "epoch" : "epochs") (step \(checkpoint.step))"
  }
}

extension TrainedRun.Weights: ExpressibleByArgument {
  package init?(argument: String) { self.init(argument) }
}
extension Split: ExpressibleByArgument {}
