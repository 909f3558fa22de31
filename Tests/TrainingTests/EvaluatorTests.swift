import CellData
import Collectives
import Layers
import Models
import Tensors
import Testing
import Training

@Suite struct EvaluatorTests {
  private static let size = 16
  private let network: Network
  private let values: FloatBuffer
  private let source: SynthSource
  private let pipeline: ImagePipeline

  init() throws {
    network = try ModelZoo.network(
      "seed_cnn", input: FeatureShape(channels: 3, height: Self.size, width: Self.size),
      options: .init(classes: 3)
    ).fused()
    values = network.initialValues(seed: 1)
    let preparation = ImagePreparation(channels: 3, size: Self.size)
    source = SynthSource(seed: 4, count: 30, kinds: 3, preparation: preparation)
    pipeline = ImagePipeline(
      preparation: preparation,
      normalisation: Normalisation(mean: [0.5, 0.4, 0.6], deviation: [0.2, 0.3, 0.25]),
      augmentation: Augmentation(), seed: 4)
  }

  private func evaluator(microbatch: Int, lanes: Int) throws -> Evaluator {
    Evaluator(
      inference: Inference(
        network, values: values, images: microbatch, team: ThreadTeam(count: lanes), kernels: .detected),
      source: source, pipeline: pipeline, communicator: try Communicator.start(environment: [:]),
      microbatch: microbatch, lanes: lanes, threads: 2)
  }

  /// Out of order, one twice, and none that fills the last microbatch.
  private static let samples = [7, 3, 29, 0, 12, 12, 5, 21, 1, 16, 9]

  @Test func eachImageHasTheProbabilitiesThatItHasAlone() throws {
    let found = try #require(try evaluator(microbatch: 4, lanes: 2).probabilities(of: Self.samples))
    #expect(found.count == 3 * Self.samples.count)
    let alone = Inference(
      network, values: values, images: 1, team: ThreadTeam(count: 1), kernels: .detected)
    alone.prepare()
    for (place, sample) in Self.samples.enumerated() {
      let image = try source.load(sample)
      let pixels = FloatBuffer(count: pipeline.floats(for: 1))
      pipeline.place(image, pipeline.centreView(of: image), into: pixels.pointer, number: 0, of: 1)
      let microbatch = LoadedMicrobatch(
        pixels: pixels, labels: [0], place: BatchPlace(seed: 0, epoch: 0, firstPosition: 0))
      let expected = alone.probabilities(of: [microbatch])[0]
      for label in 0..<3 {
        #expect(abs(found[3 * place + label] - expected[label]) < 1e-5, "image \(sample), class \(label)")
      }
      #expect(abs(found[3 * place..<(3 * place + 3)].reduce(0, +) - 1) < 1e-5)
    }
  }

  @Test func lanesDoNotChangeTheBits() throws {
    let expected = try evaluator(microbatch: 4, lanes: 1).probabilities(of: Self.samples)
    for lanes in 2...4 {
      #expect(try evaluator(microbatch: 4, lanes: lanes).probabilities(of: Self.samples) == expected)
    }
  }

  @Test func theReportCountsEachImageOnce() throws {
    let dataset = source.dataset(rule: SplitRule())
    let all = Array(0..<30)
    let evaluator = try evaluator(microbatch: 4, lanes: 2)
    var heard: [Int] = []
    let report = try evaluator.report(on: all, of: dataset) { done, total in
      heard.append(done)
      #expect(total == 30)
    }
    #expect(heard.last == 30 && heard == heard.sorted())
    let probabilities = try #require(try evaluator.probabilities(of: all))
    let correct = all.count { image in
      let row = probabilities[(3 * image)..<(3 * image + 3)]
      return row.firstIndex(of: row.max() ?? 0) == 3 * image + dataset.samples[image].label
    }
    #expect(report.images == 30)
    #expect(report.accuracy == Double(correct) / 30)
    #expect(report.classes.map(\.images) == [10, 10, 10])
  }

  @Test func noImagesAreNoProbabilities() throws {
    #expect(try evaluator(microbatch: 4, lanes: 2).probabilities(of: []) == [])
  }
}
