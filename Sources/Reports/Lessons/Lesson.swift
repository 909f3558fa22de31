import CellData
import Layers
import Models
import Tensors
import Training

/// What a topic of `explain` has to say.
package struct Lesson: Sendable {
  /// For the terminal: the idea, the formula, the numbers.
  package var text: String
  package var figure: Figure
  /// The numbers by name, as the engine gave them.
  package var numbers: [String: [Double]]
  /// One picture after another, for a reader who steps through them; empty for most topics.
  package var steps: [Figure] = []

  init(_ text: String, _ figure: Figure, numbers: [String: [Double]] = [:], steps: [Figure] = []) {
    (self.text, self.figure, self.numbers, self.steps) = (text, figure, numbers, steps)
  }
}

/// What a user brings to a lesson, and the engine that computes it.
package struct LessonInput: Sendable {
  package var engine: any LessonEngine = KernelEngine()
  /// A picture to work on; by default a synthetic cell.
  package var image: PixelImage
  package var imageName: String
  package var model = "seed_cnn"
  package var run: LessonRun?
  /// The images that `by-hand` works on: a folder or a manifest; nil for the run's, or cells made on the spot.
  package var data: String?
  package var cells = HandCells()
  /// Steps on real ranks, for `allreduce`; nil where none can be started.
  package var jobs: StepJobs?
  /// Hears how far a lesson has come that takes more than a moment.
  package var say: @Sendable (String) -> Void = { _ in }
  /// What `output-size` and `parameters` are asked about; nil for the chapter's examples alone.
  package var size: Int?
  package var channels: Int?
  package var kernel: Int?
  package var stride: Int?
  package var padding: Int?
  package var dilation: Int?
  package var units: Int?

  /// With a synthetic cell of 64 × 64 pixels.
  package init() {
    image = SyntheticCells(seed: 42, size: 64, channels: 3, kinds: 6).image(0)
    imageName = "a synthetic cell"
  }

  /// The picture in grey, 0 … 1, (1, 1, H, W).
  var grey: Batch {
    let channels = image.channels
    let values = (0..<(image.width * image.height)).map { place -> Float in
      func part(_ channel: Int) -> Float { Float(image.bytes[place * channels + channel]) / 255 }
      return channels < 3 ? part(0) : 0.299 * part(0) + 0.587 * part(1) + 0.114 * part(2)
    }
    return Batch([1, 1, image.height, image.width], values)
  }

  /// The network that is talked about: of the run, or `model` of the zoo for 64 × 64 colour images.
  func network() throws -> (name: String, network: Network) {
    if let run { return (run.model, run.network) }
    let side = size ?? 64
    return (
      model,
      try ModelZoo.network(
        model, input: FeatureShape(channels: channels ?? 3, height: side, width: side),
        options: ModelZoo.Options(classes: 8))
    )
  }

  func trainedRun(for topic: String) throws(LessonError) -> LessonRun {
    guard let run else {
      throw LessonError(
        "\(topic) shows what a network has learned: say which by --run RUN (a run of `train`), by --model NAME "
          + "--weights FILE, or by --weights FILE.onnx")
    }
    return run
  }
}

/// The cells that are made on the spot for `by-hand`, and how long it trains.
package struct HandCells: Sendable {
  package var images = 1800
  package var size = 48
  /// At most, of the network.
  package var epochs = 10
  /// Of the classifiers.
  package var handEpochs = 40
}

/// A lesson that can't be given as it was asked for.
package struct LessonError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// A topic of `explain`.
package struct LessonTopic: Sendable {
  package let name: String
  /// What it is about, in a sentence.
  package let sentence: String
  /// Whether it can be told only about a trained run.
  package var needsRun = false
  package let make: @Sendable (LessonInput) throws -> Lesson
}

package enum Lessons {
  package static let topics: [LessonTopic] = [
    .convolution, .outputSize, .pooling, .parameters, .matrix, .equivariance, .batchNorm, .dropout,
    .activation,
    .softmax, .optimizer, .backprop, .byHand, .architectures, .allReduce, .transfer, .filters, .features,
  ]

  /// The topic of that name. Throws `LessonError` with the nearest names.
  package static func topic(named name: String) throws(LessonError) -> LessonTopic {
    let wanted = name.lowercased().replacing("_", with: "-")
    if let topic = topics.first(where: { $0.name == wanted }) { return topic }
    let starting = topics.map(\.name).filter { $0.hasPrefix(wanted) || wanted.hasPrefix($0) }
    let near =
      starting + Spelling.nearest(3, to: wanted, among: topics.map(\.name)).filter { !starting.contains($0) }
    let offered = near.isEmpty ? topics.map(\.name) : Array(near.prefix(3))
    throw LessonError(
      "there is no topic \"\(name)\"; \(near.isEmpty ? "there are" : "nearest:") \(offered.joined(separator: ", "))"
    )
  }
}
