import CellData
import Foundation
import Layers
import Models
import Synchronization
import Tensors
import Testing
import Training

@Suite struct PredictionTests {
  @Test func blocksAreWholeMicrobatchesAndHoldEachImageOnce() {
    for (images, microbatch, bytes, lanes) in [
      (0..<1000, 16, 3136, 2), (48..<1001, 16, 3136, 8), (0..<5, 16, 49152, 2), (0..<0, 8, 100, 1),
      (1_000_000..<10_000_001, 64, 602_112, 64), (0..<300, 7, 4, 3),
    ] {
      let plan = BlockPlan(images: images, microbatch: microbatch, imageBytes: bytes, lanes: lanes)
      var next = images.lowerBound
      for block in 0..<plan.count {
        let part = plan.images(of: block)
        #expect(part.lowerBound == next && part.lowerBound % microbatch == 0 && !part.isEmpty)
        next = part.upperBound
      }
      #expect(next == images.upperBound)
      #expect(plan.size % microbatch == 0 && plan.size * bytes <= max(4 << 20, microbatch * bytes))
      // Nobody idles for long while another has the last block.
      if images.count > 8 * lanes * microbatch { #expect(plan.count >= 3 * lanes) }
    }
  }

  @Test func blocksLeaveInOrderAndDontRunAway() {
    let window = BlockWindow(room: 3)
    func values(_ block: Int) -> FloatBuffer { FloatBuffer([Float(block)]) }
    #expect(window.offer(2, values(2)) && window.offer(1, values(1)))
    #expect(!window.offer(3, values(3)))
    #expect(window.takeIfReady() == nil)
    #expect(window.offer(0, values(0)))
    #expect(window.take()?[0] == 0 && window.take()?[0] == 1)
    #expect(window.offer(3, values(3)))
    window.fail(RunError("first"))
    window.fail(RunError("second"))
    // What is there may leave; then nobody waits.
    #expect(window.take()?[0] == 2 && window.take()?[0] == 3 && window.take() == nil)
    window.put(90, values(90))
    #expect(window.failure.map { "\($0)" } == "first")
  }

  @Test(.timeLimit(.minutes(1))) func aWindowWithManyLanesGivesEachBlockOnce() {
    let window = BlockWindow(room: 4)
    let next = Atomic(0)
    let given = Monitor([Int]())
    ThreadTeam(count: 4).run { lane in
      if lane == 0 {
        while given.update({ $0.count }) < 300, let block = window.take() {
          given.update { $0.append(Int(block[0])) }
        }
      } else {
        while true {
          let block = next.add(1, ordering: .relaxed).oldValue
          guard block < 300 else { return }
          window.put(block, FloatBuffer([Float(block)]))
        }
      }
    }
    #expect(given.update { $0 } == Array(0..<300))
  }

  /// The last layer of each network reads the features: from them and its weights follow the probabilities.
  @Test func featuresAreWhatTheLastLayerReads() throws {
    for name in ["lenet5", "seed_cnn", "resnet18_small"] {
      let input = FeatureShape(channels: 3, height: 24, width: 24)
      let source = try ModelZoo.network(name, input: input, options: .init(classes: 3))
      let trained = source.initialValues(seed: 3)
      let folded = FoldedNetwork(source)
      let values = folded.values(from: trained)
      let inference = Inference(
        folded.network, values: values, images: 5, team: ThreadTeam(count: 1), kernels: .detected)
      inference.prepare()
      let pixels = FloatBuffer((0..<(5 * input.count)).map { Float($0 * 37 % 101) / 50 - 1 })
      let place = BatchPlace(seed: 0, epoch: 0, firstPosition: 0)
      let probabilities = FloatBuffer(count: 15)
      inference.predict(
        LoadedMicrobatch(pixels: pixels, labels: [0, 0, 0, 0, 0], place: place), on: 0,
        into: probabilities.pointer)
      let count = try #require(inference.featureCount)
      let features = FloatBuffer(count: 5 * count)
      inference.features(on: 0, into: features.pointer)
      let last = try #require(folded.network.nodes.last)
      let (weight, bias) = (
        last.parameters[0].array(in: values.pointer), last.parameters[1].array(in: values.pointer)
      )
      #expect(weight.count == 3 * count)
      for image in 0..<5 {
        let scores = (0..<3).map { label in
          (0..<count).reduce(bias[label]) { $0 + weight[label * count + $1] * features[image * count + $1] }
        }
        let exponentials = scores.map { exp($0 - (scores.max() ?? 0)) }
        for label in 0..<3 {
          let expected = exponentials[label] / exponentials.reduce(0, +)
          #expect(abs(probabilities[3 * image + label] - expected) < 1e-5, "\(name), image \(image)")
        }
      }
    }
  }

  @Test func aNetworkOfOneLayerHasNoFeatures() throws {
    let network = try LayerList.network(
      [.map(["conv2d": .map(["channels": .integer(2), "kernel": .integer(4)])])],
      input: FeatureShape(channels: 3, height: 4, width: 4), classes: 2, initialisation: nil)
    #expect(
      Inference(
        network.fused(for: .inference), values: network.initialValues(seed: 1), images: 1,
        team: ThreadTeam(count: 1), kernels: .detected
      ).featureCount == nil)
  }
}
