import ArgumentParser
import Models
import Training

/// `cnn-dist export`: a trained network for other programs.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write a trained network for other programs: ONNX, safetensors.",
    discussion: """
      Examples:
        cnn-dist export onnx --run runs/cells --out cells.onnx
        cnn-dist export safetensors --run runs/cells --out cells.safetensors
        cnn-dist export onnx --model resnet18 --weights resnet18.pth --classes 1000 --size 224 --raw-input --out r.onnx
      """,
    subcommands: [ExportONNXCommand.self, ExportSafetensorsCommand.self])
}

/// What is exported: a run's network, or one of the zoo with the weights of a file.
struct ExportSource: ParsableArguments {
  @Option(help: "The run directory that `train` has written.") var run: String?
  @Option(help: "A model of the zoo, in the place of a run; expects --weights FILE and --classes.") var model:
    String?
  @Option(
    help: ArgumentHelp(
      "Which weights of the run (default: best, or latest where no epoch was evaluated), or a file of weights.",
      valueName: "best|latest|FILE"))
  var weights: TrainedRun.Weights?
  @Option(help: "Number of classes of --model.") var classes: Int?
  @Option(help: "Height and width of the images of --model, in pixels.") var size = 224
  @Option(help: "Channels of the images of --model.") var channels = 3
  @Option(help: "The new file.") var out: String

  func validate() throws {
    guard (run == nil) != (model == nil) else { throw ValidationError("expects --run RUN or --model NAME") }
    guard model == nil || (weights?.file != nil && classes != nil) else {
      throw ValidationError("--model expects --weights FILE and --classes N")
    }
    guard model != nil || classes == nil else { throw ValidationError("--classes is for --model") }
    try InspectedModel.requirePositive(("classes", classes), ("size", size), ("channels", channels))
  }

  /// Reads it, and says what a user should know.
  func open() throws -> ExportedModel {
    try NewFile(out).check()
    let exported: ExportedModel
    if let run {
      exported = try ExportedModel(run: run, weights: weights)
    } else {
      var config = RunConfig()
      config.model.name = model ?? ""
      config.data.image.size = size
      config.data.image.channels = channels
      exported = try ExportedModel(config, classes: classes ?? 0, weights: weights?.file ?? "")
    }
    for remark in exported.remarks { Program.say(remark) }
    return exported
  }

  func write(_ bytes: [UInt8], _ what: String) throws {
    try NewFile(out).write(bytes)
    Program.say("\(out): \(what), \(bytes.count) bytes")
  }
}
