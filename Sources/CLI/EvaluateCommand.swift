import ArgumentParser
import CellData
import Collectives
import Reports
import Training

/// `cnn-dist evaluate`: what a trained network gets right and wrong.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a trained network on labelled images.",
    discussion: """
      Runs over each image of a split once, on any number of ranks, and prints accuracy, balanced accuracy, loss, \
      precision, recall, F1 and AUC of each class, and the confusion matrix. The images are those of the run, \
      or others of the same classes (--data).

      Examples:
        cnn-dist evaluate --run runs/cells
        cnn-dist evaluate --run runs/cells --split val --weights latest --json
        mpirun -np 8 cnn-dist evaluate --run runs/cells --data other-cells --split test
      """)

  @OptionGroup var trained: TrainedRunOptions
  @Option(help: ArgumentHelp("Which images: test, val or train.", valueName: "split")) var split = Split.test
  @Option(help: "Other images than those of the run: a folder or a manifest.") var data: String?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func run() throws {
    try Program.run { communicator in
      let evaluation = try evaluate(communicator)
      if communicator.rank == 0 { try Program.output(json ? evaluation.json() : evaluation.text) }
      return 0
    }
  }

  /// Collective.
  func evaluate(_ communicator: Communicator) throws -> Evaluation {
    let run = try trained.open(communicator, data: data)
    let images = try RunData(
      of: split, for: run.checkpoint, run.config, communicator: communicator, threads: run.place.loaders)
    let progress = communicator.rank == 0 ? SlowProgress("images evaluated on rank 0") : nil
    if communicator.rank == 0 {
      for bad in images.leftOut { Program.say("warning: left out \(bad.error)") }
    }
    let report = try run.evaluator(of: images.cache).report(
      on: images.dataset.indices(of: split), of: images.dataset
    ) { progress?.show($0, of: $1) }
    return Evaluation(run: run, split: split, report: report)
  }
}

/// The result of `evaluate`.
struct Evaluation: Encodable {
  let run: TrainedRun
  let split: Split
  let report: ClassificationReport

  var text: String {
    """
    \(run.title)
    \(split.rawValue) of \(run.config.data.path): \(report.summaryLine)

    \(report.classTable)

    \(RunText.confusion(report, wholeMatrixIn: "the output of --json").joined(separator: "\n"))
    """
  }

  func json() throws -> String { try JSONOutput.text(self) }

  private enum Key: String, CodingKey {
    case run, data, split, weights, step
    case weightsHash = "weights_hash"
  }

  /// The figures of the report, and beside them what they are about.
  func encode(to encoder: any Encoder) throws {
    try report.encode(to: encoder)
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(run.path, forKey: .run)
    try container.encode(run.config.data.path, forKey: .data)
    try container.encode(split, forKey: .split)
    try container.encode(run.weights.text, forKey: .weights)
    try container.encode(run.checkpoint.step, forKey: .step)
    try container.encode(run.checkpoint.weightsHash, forKey: .weightsHash)
  }
}
