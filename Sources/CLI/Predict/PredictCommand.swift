import ArgumentParser
import CellData
import Collectives
import Foundation
import Reports
import Tensors
import Training

/// `cnn-dist predict`: what a trained network takes images for, any number of them.
struct PredictCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Class probabilities of images, in the order of the arguments.",
    discussion: """
      Images are files (PNG, JPEG, TIFF); folders, which stand for the image files in them and in the folders inside, \
      in byte order; CSV files with a column path; and safetensors files with an array images of bytes: (N, H, W) \
      grey, (N, H, W, C) or (N, C, H, W) with 1 to 4 channels. Sets are read as they are needed: memory doesn't grow with \
      their length.

      Each image gets a row: path (of a set, set.safetensors[7]), predicted class, its probability, the probability \
      of each class, and with --features the vector that the last layer reads. As safetensors the rows are arrays \
      predicted (-1 for none), probabilities and features. An image that can't be used keeps its row, \
      empty (in arrays NaN), and a warning names it.

      A file that is being written has a record beside it, FILE.progress, which goes when the file is complete. \
      Until then --resume goes on where the record ends: no row is lost and none comes twice, whatever stopped the \
      program, if run, settings and inputs are still the same (of files their names, of sets size and time of \
      change). Text is valid up to its last line end; in arrays the rows to come have probabilities of 0.

      Examples:
        cnn-dist predict --run runs/cells new-images/ slide-7.tif
        cnn-dist predict --run runs/cells cells.safetensors --out cells-predicted.csv
        mpirun -np 8 cnn-dist predict --run runs/cells cells.safetensors --features --out found.safetensors --resume
      """)

  @OptionGroup var trained: TrainedRunOptions
  @Argument(help: "Image files, folders, CSV lists and safetensors sets.") var paths: [String]
  @Option(help: "A new file to write to, in the place of the standard output.") var out: String?
  @Option(
    help: ArgumentHelp(
      "csv, json, jsonl or safetensors (default: by the end of the file's name, csv on the standard output).",
      valueName: "csv|json|jsonl|safetensors"))
  var format: PredictionFormat?
  @Flag(help: "The same as --format json.") var json = false
  @Flag(help: "Write the vector before the last layer, too.") var features = false
  @Flag(help: "Go on with a file that was begun.") var resume = false
  @Option(
    help: ArgumentHelp("What an image that can't be used does: skip or stop.", valueName: "skip|stop"))
  var onBadImage = BadImagePolicy.skip

  func validate() throws {
    if paths.isEmpty { throw ValidationError("expects images: files, folders, CSV lists or sets") }
    if json && format != nil && format != .json {
      throw ValidationError("--json and --format \(format?.rawValue ?? "") exclude each other")
    }
    if resume && out == nil { throw ValidationError("--resume expects the file to go on with: --out FILE") }
    guard out == nil || json || format != nil || PredictionFormat(ofFile: out ?? "") != nil else {
      throw ValidationError(
        "\(out ?? "") doesn't end in .csv, .json, .jsonl or .safetensors: expects --format")
    }
    if out == nil && format == .safetensors {
      throw ValidationError("--format safetensors expects --out FILE")
    }
  }

  private var chosenFormat: PredictionFormat {
    format ?? (json ? .json : out.flatMap { PredictionFormat(ofFile: $0) } ?? .csv)
  }

  func run() throws {
    try Program.run { communicator in
      try predict(communicator)
      return 0
    }
  }

  /// Collective.
  func predict(_ communicator: Communicator) throws {
    if communicator.rank == 0, let out, !resume { try PredictionFile.checkNew(out) }
    let run = try trained.open(communicator)
    let inputs = try inputs(communicator)
    let source = try communicator.together {
      let source = try InputSource(inputs, preparation: run.config.imagePreparation)
      if communicator.rank == 0 { try source.checkLabels(classes: run.classes.count) }
      return source
    }
    let featureCount = features ? try run.featureCount() : 0
    var output: (any PredictionOutput)?
    let first = try communicator.fromCoordinator {
      let opened = try open(run, source, features: featureCount)
      output = opened.output
      return opened.rows
    }
    let prediction = try Prediction(
      run, of: source, .init(features: features, onBadImage: onBadImage, firstImage: first),
      name: { source.name(of: $0) }, warn: Self.warner())
    let writer = output.map {
      PredictionWriter(
        $0,
        PredictProgress(
          total: source.count, before: first,
          screen: StandardOutput(environment: ProcessInfo.processInfo.environment, descriptor: 2)))
    }
    do {
      let busy = try prediction.run { try writer?.write($0) }
      try writer?.finish(busy: busy)
    } catch {
      writer?.suspend()
      throw error
    }
  }

  /// Rank 0 looks at what is there and tells the others.
  private func inputs(_ communicator: Communicator) throws -> ImageInputs {
    let found = try communicator.together { communicator.rank == 0 ? try ImageInputs(paths) : nil }
    let parts = try communicator.fromCoordinator { found?.parts ?? [] }
    let files = try communicator.broadcast(found?.files.bytes ?? [])
    return found ?? ImageInputs(parts: parts, files: PathList(bytes: files))
  }

  /// Where rank 0 writes, and how many rows are there already.
  private func open(_ run: TrainedRun, _ source: InputSource, features: Int) throws -> (
    output: any PredictionOutput, rows: Int
  ) {
    func text() -> PredictionText {
      PredictionText(chosenFormat, classes: run.classes, features: features) { source.name(of: $0) }
    }
    guard let out else { return (try PredictionStream(text()), 0) }
    let settings = PredictionRecord.settings(
      of: run, source.inputs, format: chosenFormat, features: features)
    let layout: PredictionFile.Layout =
      chosenFormat == .safetensors
      ? .arrays(
        PredictionArrays(
          count: source.count, classes: run.classes, features: features,
          metadata: [("run", run.path), ("weights", run.checkpoint.weightsHash)]))
      : .text(text())
    let file = try PredictionFile(
      out, layout, count: source.count, microbatch: run.config.training.microbatch, settings: settings,
      resume: resume)
    if resume {
      Program.say(
        "going on after \(Figures.grouped(file.rowsBefore)) of \(Figures.grouped(source.count)) images")
    }
    return (file, file.rowsBefore)
  }

  /// Names the first images of a rank that can't be used; all of them have their empty rows.
  private static func warner() -> @Sendable (ImageError) -> Void {
    let most = 20
    let said = Monitor(0)
    return { error in
      let number = said.update { said in
        said += 1
        return said
      }
      if number <= most { Program.say("warning: no prediction for \(error)") }
      if number == most { Program.say("warning: further images of this rank are not named") }
    }
  }
}

extension BadImagePolicy: ExpressibleByArgument {}

/// What rank 0 does with blocks as they come.
///
/// Ownership rule: the thread that `Prediction` writes on calls `write`; when that thread has ended, whoever
/// waited for it calls `finish`.
private final class PredictionWriter: @unchecked Sendable {
  private let output: any PredictionOutput
  private let progress: PredictProgress
  private var images = 0
  private var unusable = 0

  init(_ output: any PredictionOutput, _ progress: PredictProgress) {
    (self.output, self.progress) = (output, progress)
  }

  func write(_ block: PredictedBlock) throws {
    try output.write(block)
    images += block.images.count
    unusable += (0..<block.images.count).count { block.predicted($0) == nil }
    progress.show(block.images.upperBound)
  }

  func suspend() { output.suspend() }

  /// Throws `RunError` where there are images, and none of them can be used.
  func finish(busy: Double) throws {
    try output.finish()
    progress.finish(unusable: unusable, busy: busy)
    if images > 0 && unusable == images {
      throw RunError("predict: none of the \(Figures.grouped(images)) images can be used")
    }
  }
}

extension PredictionRecord {
  /// What rows of one output have in common.
  static func settings(
    of run: TrainedRun, _ inputs: ImageInputs, format: PredictionFormat, features: Int
  ) -> Settings {
    let (config, normalisation) = (run.config, run.checkpoint.normalisation)
    return [
      "weights": run.checkpoint.weightsHash, "classes": run.classes.joined(separator: ", "),
      "images of": "\(config.data.image.channels) x \(config.data.image.size), "
        + "shorter side \(config.data.image.resizedSide)",
      "normalisation": "\(normalisation.mean), \(normalisation.deviation)",
      "engine.convolution": "\(config.engine.convolution)",
      "engine.precision": "\(config.engine.precision)",
      "training.microbatch": "\(config.training.microbatch)",
      "format": format.rawValue, "features": "\(features)", "inputs": "\(fingerprint(of: inputs))",
    ]
  }

  /// The names of files; of sets size and time of change, too.
  private static func fingerprint(of inputs: ImageInputs) -> ContentHash {
    var hasher = ContentHasher()
    inputs.files.bytes.withUnsafeBytes { hasher.update($0) }
    for part in inputs.parts {
      hasher.update("\(part.count) ")
      var status = stat()
      guard let set = part.set, stat(set, &status) == 0 else { continue }
      hasher.update("\(set) \(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec) ")
    }
    return hasher.finish()
  }
}
