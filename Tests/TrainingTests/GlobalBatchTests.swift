import CellData
import Collectives
import Layers
import Models
import Tensors
import Testing
import Training

/// `training.batch_statistics: global_batch`.
@Suite struct GlobalBatchTests {
  static let cuts = [[4, 4, 4], [5, 4, 3], [3, 2, 2, 2, 2, 1], Array(repeating: 1, count: 12)]

  private func example(_ sizes: [Int], _ model: String = "seed_cnn", over: BatchStatistics = .globalBatch)
    throws -> StepCase
  {
    try StepCase(model, sizes: sizes, statisticsOver: over)
  }

  /// Gradients of a step by array, and the values after it: running statistics, too.
  private func results(of step: TrainingStep, _ batch: StepBatch) throws -> (
    gradients: [String: [Float]], statistics: [String: [Float]], loss: Double
  ) {
    let result = try step.run(batch, learningRate: 0)
    let layout = step.network.layout
    return (
      Dictionary(uniqueKeysWithValues: layout.parameters.map { ($0.name, step.gradient(of: $0)) }),
      Dictionary(
        uniqueKeysWithValues: layout.statistics.map { ($0.name, $0.array(in: step.values.pointer)) }),
      result.meanLoss
    )
  }

  /// |a − b| / |b|, over an array.
  private func error(_ a: [Float]?, _ b: [Float]) -> Double {
    guard let a, a.count == b.count else { return .infinity }
    var (difference, size) = (0.0, 0.0)
    for place in a.indices {
      let (found, expected) = (Double(a[place]), Double(b[place]))
      difference += (found - expected) * (found - expected)
      size += expected * expected
    }
    return (difference / size).squareRoot()
  }

  /// However it is cut, the batch is what batch norm sees: a step is that of one microbatch, up to rounding.
  /// In ResNet-18 rounding also opens and closes some gates of ReLU, at 2 × 2 pixels at the end.
  @Test(arguments: [("seed_cnn", 1e-4), ("resnet18_small", 0.03)])
  func microbatchesGiveTheStepOfOne(model: String, bound: Double) throws {
    let whole = try example([12], model, over: .microbatch)
    let expected = try results(of: try whole.step(), whole.batch())
    // Before batch norm a bias has a gradient of pure noise.
    let named = expected.gradients.filter { !$0.key.hasSuffix("conv.bias") }
    #expect(named.count > 10 && !expected.statistics.isEmpty)
    for sizes in model == "seed_cnn" ? Self.cuts : [[5, 4, 3]] {
      let (parts, apart) = (try example(sizes, model), try example(sizes, model, over: .microbatch))
      let found = try results(of: try parts.step(lanes: 2), parts.batch())
      let other = try results(of: try apart.step(), apart.batch())
      #expect(abs(found.loss - expected.loss) < 1e-5 && abs(other.loss - expected.loss) > 1e-4)
      for (name, values) in named {
        let (mine, without) = (error(found.gradients[name], values), error(other.gradients[name], values))
        #expect(mine < bound && mine < 0.1 * without, "\(name), \(sizes): \(mine), \(without)")
      }
      for (name, values) in expected.statistics {
        #expect(error(found.statistics[name], values) < 1e-5, "\(name), \(sizes)")
      }
    }
  }

  /// Lanes with and without work leave the bits alone, over three steps with dropout and a short one between.
  @Test(arguments: cuts) func lanesGiveTheSameBits(sizes: [Int]) throws {
    let (full, short) = (try example(sizes), try example([3, 2]))
    func values(lanes: Int, wave: Int = 0) throws -> [Float] {
      let step = try full.step(lanes: lanes, wave: wave, counts: [2])
      for (number, example) in [full, short, full].enumerated() {
        _ = try step.run(example.batch(step: number), learningRate: 0.1)
      }
      return step.values.values
    }
    let expected = try values(lanes: 1)
    for lanes in 1...4 { #expect(try values(lanes: lanes) == expected, "\(lanes) lanes") }
    #expect(try values(lanes: 2, wave: sizes.count) == expected)
  }

  /// One image makes the loss of all microbatches NaN; it is its own that is named.
  @Test(arguments: [1, 2, 3]) func theMicrobatchThatIsNotFiniteIsNamed(lanes: Int) throws {
    let example = try example([4, 3, 3, 1])
    let step = try example.step(lanes: lanes)
    #expect(throws: Never.self) { try step.run(example.batch(), learningRate: 0) }
    example.local[2].pixels[7] = .nan
    #expect {
      try step.run(example.batch(step: 7), learningRate: 0.1)
    } throws: {
      "\($0)" == "step 7: the loss of microbatch 2 is not a finite number; "
        + "the first layer whose output is not finite is block1.conv"
    }
  }

  private func refusal(_ text: String) -> String {
    do {
      _ = try ConfigLoader.load(text: text, name: "run.yaml", overrides: [])
      return "accepted"
    } catch {
      return error.description
    }
  }

  @Test func aWaveOfLessThanAStepIsRefused() {
    func text(_ wave: Int) -> String {
      "training: {batch: 128, microbatch: 16, wave: \(wave), batch_statistics: global_batch}"
    }
    #expect(
      refusal(text(7)).contains(
        "training.wave expects 0 or all 8 microbatches of a step, since training.batch_statistics is "
          + "global_batch, got 7"))
    #expect(refusal(text(8)) == "accepted" && refusal(text(0)) == "accepted")
    #expect(refusal("training: {wave: 7}") == "accepted")
    let other = refusal("training: {batch_statistics: batch}")
    #expect(other.contains("expects one of microbatch, global_batch"))
  }

  /// Batch norm of vectors: a microbatch of one image will do, a step of one won't.
  @Test func aStepOfOneValuePerChannelIsRefused() throws {
    func refusal(_ statistics: BatchStatistics, images: Int) throws -> String {
      var config = RunConfig()
      config.model.layers = .list([
        .text("flatten"), .text("batch_norm2d"), .map(["linear": .map(["features": .integer(2)])]),
      ])
      config.data.image.size = 2
      config.training.batchStatistics = statistics
      let network = try config.network(classes: 2)
      do throws(RunError) {
        try network.checkMicrobatches(of: EpochOrder(count: images, batch: 4, microbatch: 1))
        return "accepted"
      } catch { return error.description }
    }
    #expect(try refusal(.globalBatch, images: 8) == "accepted")
    #expect(
      try refusal(.globalBatch, images: 9)
        == "batch norm expects more than 1 value per channel when training, but a step of 1 image(s) occurs; "
        + "change training.batch, or set training.drop_last: true")
    #expect(try refusal(.microbatch, images: 8).contains("a microbatch of 1 image(s) occurs"))
  }
}
