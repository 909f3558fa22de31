import ArgumentParser
import CellData
import Collectives
import Tensors
import Training

/// `cnn-dist predict`: class probabilities of images that nobody has labelled.
struct PredictCommand: ParsableCommand {
  enum Format: String, CaseIterable, ExpressibleByArgument { case csv, json }

  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Class probabilities for image files and folders.",
    discussion: """
      A folder stands for the PNG, JPEG and TIFF files in it and in the folders inside, in byte order. Prints a row \
      for each image in the order of the arguments: path, predicted class, its probability, and the probability \
      of each class. Files that can't be used are named and nothing is predicted, unless --skip-bad leaves them out.

      Examples:
        cnn-dist predict --run runs/cells new-images/ slide-7.tif
        cnn-dist predict --run runs/cells new-images/ --format json --out predictions.json
        mpirun -np 8 cnn-dist predict --run runs/cells many-images/ --out predictions.csv
      """)

  @OptionGroup var trained: TrainedRunOptions
  @Argument(help: "Image files and folders.") var paths: [String]
  @Option(help: ArgumentHelp("csv or json.", valueName: "csv|json")) var format: Format?
  @Flag(help: "The same as --format json.") var json = false
  @Option(help: "A new file to write to, in the place of the standard output.") var out: String?
  @Flag(help: "Leave out files that can't be used, with a warning for each.") var skipBad = false

  func validate() throws {
    if paths.isEmpty { throw ValidationError("expects images: files or folders") }
    if json && format == .csv { throw ValidationError("--json and --format csv exclude each other") }
  }

  func run() throws {
    try Program.run { communicator in
      let output = out.map { NewFile($0) }
      if communicator.rank == 0 { try output?.check() }
      guard let predictions = try predict(communicator) else { return 0 }
      let text = json || format == .json ? predictions.json : predictions.csv
      if let output { try output.write(Array(text.utf8)) } else { try Program.output(text) }
      return 0
    }
  }

  /// The predictions on rank 0; nil on the others. Collective.
  func predict(_ communicator: Communicator) throws -> Predictions? {
    let run = try trained.open(communicator)
    let files = try communicator.fromCoordinator { try ImagePaths.expand(paths) }
    let images = ImageCache(
      FileSource(paths: files, preparation: run.config.imagePreparation),
      budgetBytes: run.config.data.cacheMegabytes << 20)
    let usable = try usable(images, of: files, communicator: communicator, threads: run.place.loaders)
    let progress = communicator.rank == 0 ? SlowProgress("images predicted on rank 0") : nil
    let probabilities = try run.evaluator(of: images).probabilities(of: usable) { progress?.show($0, of: $1) }
    return try probabilities.map {
      try Predictions(classes: run.classes, paths: usable.map { files[$0] }, probabilities: $0)
    }
  }

  /// The numbers of the files that can be used: each rank tries its share, so that all that can't be used are
  /// named at once.
  private func usable(
    _ images: ImageCache, of files: [String], communicator: Communicator, threads: Int
  ) throws -> [Int] {
    let (rank, size) = (communicator.rank, communicator.size)
    let share = (files.count * rank / size)..<(files.count * (rank + 1) / size)
    let bad = try communicator.exchange(images.unusable(in: share, threads: threads)).flatMap { $0 }
    return try communicator.fromCoordinator {
      if !bad.isEmpty && (!skipBad || bad.count == files.count) {
        throw BadImagesError(root: "predict", count: files.count, errors: bad.map(\.error))
      }
      for bad in bad { Program.say("warning: left out \(bad.error)") }
      let left = Set(bad.map(\.sample))
      return files.indices.filter { !left.contains($0) }
    }
  }
}
