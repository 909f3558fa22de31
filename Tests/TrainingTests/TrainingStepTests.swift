import Collectives
import Layers
import Models
import Tensors
import Testing
import Training

@Suite struct TrainingStepTests {
  /// The sizes of the microbatches of a step.
  static let cuts = [[12], [4, 4, 4], [5, 4, 4], [3, 3, 3, 3, 2], [3, 2, 2, 2, 2, 2, 2]]

  @Test(arguments: cuts) func gradientsAreTheTreeSumOfTheMicrobatches(sizes: [Int]) throws {
    let example = try StepCase("seed_cnn", sizes: sizes)
    let leaves = example.leaves()
    let expected = StepCase.treeSum(leaves.map(\.flat))
    let step = try example.step()
    let result = try step.run(example.batch(), learningRate: 0.5)
    for entry in example.network.layout.parameters {
      let gradient = step.gradient(of: entry)
      #expect(gradient == entry.tensor(in: expected).values, "\(entry.name)")
      #expect(gradient.contains { $0 != 0 }, "\(entry.name)")
      let moved = zip(entry.array(in: example.initial.pointer), gradient).map { $0 - 0.5 * $1 }
      #expect(
        largestDifference(entry.array(in: step.values.pointer)[...], moved[...]) < 1e-6, "\(entry.name)")
    }
    #expect(abs(result.meanLoss - example.meanLoss(of: leaves)) < 1e-6)
    let correct = zip(leaves, example.local).reduce(0) { $0 + Self.correct($1.0.logits, $1.1.labels) }
    #expect(result.correct == correct)
  }

  private static func correct(_ logits: [Float], _ labels: [Int32]) -> Int {
    labels.indices.count { image in
      let scores = (0..<StepCase.classes).map { logits[$0 * labels.count + image] }
      return scores.firstIndex(of: scores.max() ?? 0) == Int(labels[image])
    }
  }

  /// Without batch norm and dropout nothing in a microbatch depends on its size.
  @Test func fourMicrobatchesGiveTheGradientOfOne() throws {
    let whole = try StepCase("lenet5", sizes: [16])
    let (one, loss) = try gradient(of: whole)
    for sizes in [[4, 4, 4, 4], [7, 6, 3]] {
      let (other, otherLoss) = try gradient(of: try StepCase("lenet5", sizes: sizes))
      #expect(abs(loss - otherLoss) < 1e-6)
      for entry in whole.network.layout.parameters {
        let scale = one[entry.range].map(abs).max() ?? 0
        #expect(scale > 0)
        #expect(
          largestDifference(one[entry.range], other[entry.range]) < 1e-5 * scale, "\(sizes), \(entry.name)")
      }
    }
  }

  private func gradient(of example: StepCase) throws -> (flat: [Float], loss: Double) {
    let step = try example.step()
    let result = try step.run(example.batch(), learningRate: 0)
    let flat = FloatBuffer(count: example.network.layout.extent)
    for entry in example.network.layout.parameters {
      entry.fill(flat.pointer, with: step.gradient(of: entry))
    }
    return (flat.values, result.meanLoss)
  }

  @Test(arguments: cuts) func runningStatisticsFollowTheMeanOverImages(sizes: [Int]) throws {
    let example = try StepCase("seed_cnn", sizes: sizes)
    let leaves = example.leaves()
    let step = try example.step(lanes: 2)
    _ = try step.run(example.batch(), learningRate: 0)
    #expect(example.network.layout.statistics.count == 6)
    for entry in example.network.layout.statistics {
      for place in entry.range {
        let sum = zip(leaves, sizes).reduce(0.0) { $0 + Double($1.0.flat[place]) * Double($1.1) }
        let mean = sum / Double(example.images)
        let expected = 0.9 * Double(example.initial[place]) + 0.1 * mean
        let error = abs(Double(step.values[place]) - expected)
        #expect(error < 1e-6 * max(1, abs(expected)), "\(entry.name)")
        // A plain mean over unequal microbatches would be another number.
        #expect(step.values[place] != example.initial[place], "\(entry.name)")
      }
    }
  }

  /// Lanes, waves and lanes without work leave the bits alone, over two steps with dropout.
  @Test(arguments: cuts) func lanesAndWavesGiveTheSameBits(sizes: [Int]) throws {
    let example = try StepCase("seed_cnn", sizes: sizes)
    let expected = try values(of: example, try example.step())
    for lanes in 1...4 {
      for wave in 0...3 {
        #expect(
          try values(of: example, try example.step(lanes: lanes, wave: wave)) == expected,
          "\(lanes) lanes, wave \(wave)")
      }
    }
  }

  /// Dropout, batch statistics and running statistics are those of the first time.
  @Test(arguments: [BatchStatistics.microbatch, .globalBatch])
  func computingActivationsAgainGivesTheSameBits(statistics: BatchStatistics) throws {
    for model in ["seed_cnn", "resnet18"] {
      let example = try StepCase(model, sizes: [4, 4, 3], statisticsOver: statistics)
      let expected = try values(of: example, try example.step())
      for lanes in 1...3 {
        var settings = example.settings(lanes: lanes)
        settings.checkpointing = .blocks
        #expect(try values(of: example, try example.step(settings)) == expected, "\(model), \(lanes) lanes")
      }
    }
  }

  private func values(of example: StepCase, _ step: TrainingStep) throws -> [Float] {
    for number in 0..<2 { _ = try step.run(example.batch(step: number), learningRate: 0.1) }
    return step.values.values
  }

  @Test func aShortStepBetweenFullOnesUsesTheSameMemory() throws {
    let (full, short) = (
      try StepCase("seed_cnn", sizes: [4, 4, 4, 4, 4]), try StepCase("seed_cnn", sizes: [3, 2])
    )
    func train(lanes: Int, wave: Int) throws -> [Float] {
      let step = try full.step(lanes: lanes, wave: wave, counts: [2])
      #expect(step.run(ofStepWith: 2) == 0..<2)
      for (number, example) in [full, short, full].enumerated() {
        _ = try step.run(example.batch(step: number), learningRate: 0.1)
      }
      return step.values.values
    }
    let expected = try train(lanes: 1, wave: 0)
    for (lanes, wave) in [(1, 2), (2, 0), (3, 1), (4, 0)] {
      #expect(try train(lanes: lanes, wave: wave) == expected, "\(lanes) lanes, wave \(wave)")
    }
  }

  @Test(arguments: [1, 2, 3]) func aLossThatIsNotFiniteNamesMicrobatchAndLayer(lanes: Int) throws {
    let example = try StepCase("seed_cnn", sizes: [4, 3, 3, 3])
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

  @Test func theFirstLayerIsTheOneThatOverflows() throws {
    let example = try StepCase("seed_cnn", sizes: [4, 3])
    let entry = try #require(example.network.layout.parameters.first { $0.name == "hidden.weight" })
    for place in entry.range { example.initial[place] = 3e38 }
    let step = try example.step()
    #expect {
      try step.run(example.batch(step: 0), learningRate: 0.1)
    } throws: {
      "\($0)" == "step 0: the loss of microbatch 0 is not a finite number; "
        + "the first layer whose output is not finite is hidden"
    }
  }

  private func largestDifference(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Float {
    zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
  }
}
