import Collectives
import Glibc
import Layers
import Models
import Tensors
import Training

/// A step's images and first values, and what the step should compute, worked out microbatch by microbatch and
/// added up by plain loops.
struct StepCase {
  var network: Network
  let loss: SoftmaxCrossEntropy
  var initial: FloatBuffer
  private(set) var local: [LoadedMicrobatch]

  static let classes = 5

  /// Random images, `sizes` of them in the microbatches; the labels are uneven.
  init(
    _ model: String, sizes: [Int], classWeights: [Float]? = [0.5, 2, 1, 0.25, 3], smoothing: Float = 0.1,
    statisticsOver: BatchStatistics = .microbatch
  ) throws {
    let input = FeatureShape(channels: 3, height: 16, width: 16)
    network = try ModelZoo.network(model, input: input, options: .init(classes: Self.classes))
      .takingStatistics(over: statisticsOver).fused()
    loss = SoftmaxCrossEntropy(classes: Self.classes, labelSmoothing: smoothing, classWeights: classWeights)
    initial = network.initialValues(seed: 3)
    var position = 0
    var local: [LoadedMicrobatch] = []
    for images in sizes {
      let pixels = FloatBuffer(count: images * input.count)
      for image in 0..<images {
        let random = RandomStream(seed: 5, purpose: .test(20), position: position + image)
        for channel in 0..<input.channels {
          for place in 0..<input.area {
            pixels[(channel * images + image) * input.area + place] =
              random.normal(at: channel * input.area + place)
          }
        }
      }
      let labels = (position..<(position + images)).map { Int32($0 * $0 % 7 % Self.classes) }
      local.append(
        LoadedMicrobatch(
          pixels: pixels, labels: labels, place: BatchPlace(seed: 9, epoch: 2, firstPosition: position)))
      position += images
    }
    self.local = local
  }

  /// The same images with other labels.
  func relabelled(_ label: (Int32) -> Int32) -> StepCase {
    var copy = self
    copy.local = local.map {
      LoadedMicrobatch(pixels: $0.pixels, labels: $0.labels.map(label), place: $0.place)
    }
    return copy
  }

  var images: Int { local.reduce(0) { $0 + $1.images } }
  var denominator: Float { loss.denominator(of: local.flatMap(\.labels)) }

  func batch(step: Int = 0) -> StepBatch {
    StepBatch(
      epoch: 2, step: step, microbatches: local.count, images: images, denominator: denominator, local: local)
  }

  /// Plain gradient descent, so that the weights show the gradient.
  func settings(lanes: Int = 1, wave: Int = 0, counts: [Int] = []) -> TrainingStep.Settings {
    var optimizer = OptimizerConfig()
    (optimizer.name, optimizer.momentum, optimizer.weightDecay) = (.sgd, 0, 0)
    return TrainingStep.Settings(
      layout: .alone(lanes: lanes), microbatchCounts: counts + [local.count],
      microbatch: local.map(\.images).max() ?? 1, wave: wave, loss: loss, optimizer: optimizer,
      kernels: .detected)
  }

  func step(lanes: Int = 1, wave: Int = 0, counts: [Int] = []) throws -> TrainingStep {
    try step(settings(lanes: lanes, wave: wave, counts: counts))
  }

  func step(_ settings: TrainingStep.Settings) throws -> TrainingStep {
    try TrainingStep(
      network, initial: initial, settings: settings, communicator: try Communicator.start(environment: [:]),
      team: ThreadTeam(count: settings.layout.lanes[0]))
  }

  /// What one microbatch gives by itself.
  struct Leaf {
    /// As the flat layout lies: gradients of parameters, batch statistics where the running ones lie.
    var flat: [Float]
    /// (K, N)
    var logits: [Float]
  }

  func leaves() -> [Leaf] {
    let plan = Plan(network, images: local.map(\.images).max() ?? 1, mode: .training, kernels: .detected)
    let prepared = PreparedWeights(network, values: initial, mode: .training, kernels: .detected)
    prepared.prepare(part: 0, of: 1)
    return local.map { microbatch in
      let pass = WaveInFlight(plan, values: initial, prepared: prepared)
      let flat = FloatBuffer(count: network.layout.extent)
      pass.load([microbatch.part])
      for (index, node) in network.nodes.enumerated() {
        pass.forward(node: index)
        guard !node.statistics.isEmpty else { continue }
        pass.batchStatistics(
          node: index, microbatch: 0, into: node.statistics.map { flat.pointer + $0.offset })
      }
      let logits = (0..<(Self.classes * microbatch.images)).map {
        pass.logits[$0 % microbatch.images * 16 + $0 / microbatch.images]
      }
      _ = pass.computeLoss(loss, microbatch: 0, labels: microbatch.labels, denominator: denominator)
      for (index, node) in network.nodes.enumerated().reversed() {
        if !node.parameters.isEmpty {
          let targets = node.parameters.map { flat.pointer + $0.offset }
          pass.backwardParameters(node: index, microbatch: 0, into: targets)
        }
        pass.backwardData(node: index)
      }
      return Leaf(flat: flat.values, logits: logits)
    }
  }

  /// The mean loss, in double precision from the scores.
  func meanLoss(of leaves: [Leaf]) -> Double {
    let weights = (loss.classWeights ?? Array(repeating: 1, count: Self.classes)).map(Double.init)
    let smoothing = Double(loss.labelSmoothing)
    var (sum, below) = (0.0, 0.0)
    for (leaf, microbatch) in zip(leaves, local) {
      for (image, label) in microbatch.labels.enumerated() {
        let scores = (0..<Self.classes).map { Double(leaf.logits[$0 * microbatch.images + image]) }
        let logSum = log(scores.reduce(0) { $0 + exp($1) })
        let minusLogs = scores.map { logSum - $0 }
        sum += (1 - smoothing) * weights[Int(label)] * minusLogs[Int(label)]
        sum += smoothing / Double(Self.classes) * zip(weights, minusLogs).reduce(0) { $0 + $1.0 * $1.1 }
        below += weights[Int(label)]
      }
    }
    return sum / below
  }

  /// The sum over a tree that splits at the largest power of two below its number of leaves.
  static func treeSum(_ leaves: [[Float]]) -> [Float] {
    guard leaves.count > 1 else { return leaves[0] }
    var left = 1
    while 2 * left < leaves.count { left *= 2 }
    let (a, b) = (treeSum(Array(leaves[..<left])), treeSum(Array(leaves[left...])))
    return zip(a, b).map { $0 + $1 }
  }
}
