import CellData
import Collectives
import Foundation
import Layers
import Models
import Tensors
import Training

/// What `by-hand` trains: linear classifiers on what a frozen bank gives, and a network that learns its own filters,
/// by the code of `probe` and `train`, on the same images.
struct HandTraining {
  /// A linear classifier on the bank's features, trained with a penalty on its weights.
  struct Classifier {
    let name: String
    let accuracy: Double
    /// Of the linear layer, (classes, features).
    let weights: [Double]
  }

  /// The network with filters of its own.
  struct Learned {
    let model: String
    let story: String
    let accuracy: Double
    let parameters: Int
    let filters: (weights: [Float], shape: [Int])?
  }

  struct Penalty {
    let name: String
    let weightDecay: Double
    let l1: Double
  }

  static let penalties = [
    Penalty(name: "no penalty", weightDecay: 0, l1: 0),
    Penalty(name: "L2, λ = 0.03", weightDecay: 0.03, l1: 0),
    Penalty(name: "L1, λ = 0.003", weightDecay: 0, l1: 0.003),
  ]

  let input: LessonInput
  private let communicator: Communicator
  private let progress: LessonProgress
  /// Which images, and how they are prepared.
  private let data: [String]

  init(_ input: LessonInput) throws {
    self.input = input
    communicator = try Communicator.start(environment: [:])
    progress = LessonProgress(input.say)
    data = Self.dataSettings(input)
  }

  /// Of a run, the images that it was trained on, or `--data`; else those, or cells made on the spot.
  private static func dataSettings(_ input: LessonInput) -> [String] {
    func list(_ numbers: [Double]) -> String { "[\(numbers.map { "\($0)" }.joined(separator: ", "))]" }
    guard let config = input.run?.config else {
      let path = input.data ?? DataConfig.synthetic
      let size = input.size ?? (input.data == nil ? input.cells.size : 64)
      return [
        "data.path=\(JSONText.quoted(path))", "data.image.size=\(size)",
        "data.image.channels=\(input.channels ?? 3)",
        "data.synthetic.images=\(input.cells.images)",
      ]
    }
    let (data, split) = (config.data, config.data.split)
    return [
      "seed=\(config.seed)", "data.path=\(JSONText.quoted(input.data ?? data.path))",
      "model.classes=[\(config.model.classes.map(JSONText.quoted).joined(separator: ", "))]",
      "data.image.size=\(data.image.size)", "data.image.channels=\(data.image.channels)",
      "data.image.resize=\(data.image.resize)", "data.split.train=\(split.train)",
      "data.split.val=\(split.validation)",
      "data.split.test=\(split.test)", "data.normalisation.mean=\(list(data.normalisation.mean))",
      "data.normalisation.deviation=\(list(data.normalisation.deviation))",
      "data.on_bad_image=\(data.onBadImage.rawValue)",
      "data.synthetic.images=\(data.synthetic.images)", "data.synthetic.kinds=\(data.synthetic.kinds)",
    ]
  }

  private func job(_ settings: [String]) throws -> TrainingJob {
    try TrainingJob.prepare(
      TrainOptions(config: nil, overrides: data + settings, directory: nil, resume: false, isKept: false),
      communicator: communicator)
  }

  private func handJob(_ penalty: Penalty) throws -> TrainingJob {
    try job(
      HandBank.settings + [
        "training.epochs=\(input.cells.handEpochs)", "training.batch=64", "optimizer.name=sgd",
        "optimizer.momentum=0.9", "optimizer.learning_rate=0.05", "optimizer.decay_biases_and_norms=false",
        "optimizer.weight_decay=\(penalty.weightDecay)", "optimizer.l1=\(penalty.l1)",
      ])
  }

  /// What the bank gives for every image, and a classifier on it for each penalty.
  func byHand() throws -> (classifiers: [Classifier], features: Features) {
    let first = try handJob(Self.penalties[0])
    let features = try features(of: first)
    let classifiers = try Self.penalties.enumerated().map { number, penalty in
      let job = number == 0 ? first : try handJob(penalty)
      let summary = try LinearProbe(
        job, sinks: [progress.sink(penalty.name)], features: features.rows
      ).run()
      let weights = job.network.layout.entries.first { $0.name == "classifier.weight" }?
        .array(in: job.step.evaluated.pointer)
      return Classifier(
        name: penalty.name, accuracy: try accuracy(summary), weights: (weights ?? []).map(Double.init))
    }
    return (classifiers, features)
  }

  private func accuracy(_ summary: RunSummary) throws(LessonError) -> Double {
    guard let test = summary.test else {
      throw LessonError("by-hand compares on images of the split test, and the data has none")
    }
    return test.accuracy
  }

  /// What the frozen layers give for the images of the data.
  struct Features {
    let rows: FloatBuffer
    let images: (training: Int, test: Int)
    let classes: [String]
    /// Height and width of the images.
    let size: Int
    /// One image, and the bank's answers to it.
    let seen: PixelImage
    let answers: Batch
    /// Of the first image.
    let first: [Double]
    let channels: Int
  }

  /// By the lesson's engine, some images at a time.
  private func features(of job: TrainingJob) throws -> Features {
    let network = try job.config.network(classes: job.data.dataset.classes.count)
    let values = HandBank.values(of: network)
    guard let trunk = network.nodes.firstIndex(where: { $0.name == "means" }),
      let bank = network.nodes.firstIndex(where: { $0.name == "relu" })
    else { preconditionFailure("the bank's network has layers named relu and means") }
    let (count, width) = (job.data.dataset.samples.count, network.nodes[trunk].shape.count)
    let rows = FloatBuffer(count: count * width)
    var answers: Batch?
    for first in stride(from: 0, to: count, by: 32) {
      progress.show("images through the hand-made filters", first, of: count)
      let images = first..<min(first + 32, count)
      let outputs = try input.engine.outputs(
        of: network, values: values, image: try batch(images, of: job), upTo: trunk)
      let last = outputs[trunk].values
      (rows.pointer + first * width).update(from: last, count: last.count)
      if answers == nil {
        let shape = outputs[bank].shape
        answers = Batch(
          [1, shape[1], shape[2], shape[3]],
          Array(outputs[bank].values.prefix(shape.dropFirst().reduce(1, *))))
      }
    }
    let dataset = job.data.dataset
    guard let answers else { throw LessonError("by-hand expects images, got none") }
    return Features(
      rows: rows, images: (dataset.indices(of: .train).count, dataset.indices(of: .test).count),
      classes: dataset.classes, size: network.input.height, seen: try job.data.cache.load(0),
      answers: answers,
      first: (0..<width).map { Double(rows[$0]) }, channels: network.input.channels)
  }

  /// Images by number, in their centre views, (N, C, H, W).
  private func batch(_ images: Range<Int>, of job: TrainingJob) throws -> Batch {
    let pipeline = job.data.pipeline
    let (side, channels) = (pipeline.preparation.size, pipeline.preparation.channels)
    let one = FloatBuffer(count: channels * side * side)
    var values: [Float] = []
    for image in images {
      let kept = try job.data.cache.load(image)
      pipeline.place(kept, pipeline.centreView(of: kept), into: one.pointer, number: 0, of: 1)
      values += one.values
    }
    return Batch([images.count, channels, side, side], values)
  }

  /// The run's network on the test images, or a seed CNN that is trained now.
  ///
  /// - Parameter training: how many images there are to train on.
  func learned(training: Int) throws -> Learned {
    if let run = input.run, run.config != nil { return try learned(of: run) }
    // Some seconds' worth.
    let epochs = max(2, min(input.cells.epochs, 16_000 / max(1, training)))
    let job = try job(["model.name=seed_cnn", "training.epochs=\(epochs)", "training.batch=64"])
    guard
      case .finished(let summary) = try Trainer(job, sinks: [progress.sink("seed_cnn")]).run(resume: false)
    else { throw LessonError("by-hand was stopped") }
    return Learned(
      model: "seed_cnn", story: "trained now, \(epochs) epochs", accuracy: try accuracy(summary),
      parameters: job.network.layout.parameterCount,
      filters: Self.firstFilters(job.network, job.step.evaluated))
  }

  private func learned(of run: LessonRun) throws -> Learned {
    let trained = try TrainedRun(run.path, data: input.data, communicator: communicator)
    let images = try RunData(
      of: .test, for: trained.checkpoint, trained.config, communicator: communicator,
      threads: trained.place.loaders)
    let report = try trained.evaluator(of: images.cache).report(
      on: images.dataset.indices(of: .test), of: images.dataset
    ) { progress.show("images evaluated", $0, of: $1) }
    return Learned(
      model: run.model, story: "\(run.path), \(run.story)", accuracy: report.accuracy,
      parameters: run.network.layout.parameterCount, filters: Self.firstFilters(run.network, run.values))
  }

  private static func firstFilters(_ network: Network, _ values: FloatBuffer) -> (
    weights: [Float], shape: [Int]
  )? {
    guard let node = network.nodes.first(where: { $0.layer.kind == "Conv2d" }),
      let entry = node.parameters.first
    else { return nil }
    return (entry.array(in: values.pointer), entry.shape.dimensions)
  }
}

/// Says how far a lesson has come that takes more than a moment.
final class LessonProgress {
  private static let secondsBetweenLines = 2.0
  private let say: @Sendable (String) -> Void
  private var last = monotonicSeconds()

  init(_ say: @escaping @Sendable (String) -> Void) { self.say = say }

  func show(_ what: String, _ done: Int, of total: Int) {
    guard done < total, monotonicSeconds() - last >= Self.secondsBetweenLines else { return }
    last = monotonicSeconds()
    say("\(Figures.grouped(done)) of \(Figures.grouped(total)) \(what)")
  }

  /// Hears of the epochs of a training.
  func sink(_ name: String) -> any RunSink { Sink(progress: self, name: name) }

  private struct Sink: RunSink {
    let progress: LessonProgress
    let name: String

    func receive(_ event: RunEvent) {
      guard case .epoch(let report) = event else { return }
      progress.show("epochs of \(name)", report.epoch + 1, of: report.epochs)
    }
  }
}
