import CellData
import Collectives
import Layers
import Models
import Tensors

/// Batches of random images through a folded network, by the code that `evaluate` and `predict` run. Each rank
/// has batches of its own.
package struct InferenceBenchmark: Sendable {
  package let model: String
  package let input: FeatureShape
  package let classes: Int
  /// Images of a rank's batch; its lanes share them.
  package let batch: Int
  package let lanes: Int
  package let convolution: ConvolutionChoice
  package let precision: Precision
  package let kernels: InstructionSet

  package init(
    model: String, input: FeatureShape, classes: Int, batch: Int, lanes: Int, convolution: ConvolutionChoice,
    precision: Precision = .fp32, kernels: InstructionSet
  ) {
    self.model = model
    self.input = input
    self.classes = classes
    self.batch = batch
    self.lanes = lanes
    self.convolution = convolution
    self.precision = precision
    self.kernels = kernels
  }

  package struct Report: Sendable {
    package let benchmark: InferenceBenchmark
    package let ranks: Int
    package let lanes: Int
    /// Of each batch of rank 0.
    package let batchSeconds: [Double]

    package var medianSeconds: Double { batchSeconds.sorted()[batchSeconds.count / 2] }
    /// Of all ranks.
    package var imagesPerSecond: Double { Double(benchmark.batch * ranks) / medianSeconds }

    package var text: String {
      let milliseconds = (medianSeconds * 1e5).rounded() / 100
      return """
        \(benchmark.model) \(benchmark.input), batch \(benchmark.batch), \(ranks) rank(s) × \(lanes) lane(s), \
        \(benchmark.kernels), convolution \(benchmark.convolution), \(benchmark.precision)
        median of \(batchSeconds.count) batches: \(milliseconds) ms, \
        \((imagesPerSecond * 10).rounded() / 10) images/s
        """
    }

    package var json: String {
      """
      {"model": "\(benchmark.model)", "batch": \(benchmark.batch), "ranks": \(ranks), "lanes": \(lanes), \
      "isa": "\(benchmark.kernels)", "convolution": "\(benchmark.convolution)", "precision": "\(benchmark.precision)", \
      "batches": \(batchSeconds.count), "batch_seconds": \(medianSeconds), "images_per_second": \(imagesPerSecond)}
      """
    }
  }

  /// Three batches to warm up, then batches for about `seconds`; the median counts. Collective.
  package func run(_ communicator: Communicator, seconds: Double) throws -> Report {
    let placement = try Placement.establish(communicator, lanes: lanes == 0 ? nil : lanes)
    let network = try Network.toMeasure(
      model, input: input, classes: classes, by: convolution, in: precision, images: batch, kernels: kernels,
      communicator)
    let team = ThreadTeam(count: placement.own.lanes)
    let pinning = LanePinning(placement)
    pinning.bind(team)
    defer { pinning.release() }
    let folded = FoldedNetwork(network)
    let parts = EpochOrder.microbatches(of: 0..<batch, size: (batch + team.count - 1) / team.count)
    try Inference.requireMemory(
      for: folded.network, images: parts.map(\.count).max() ?? batch, lanes: placement.lanes, communicator,
      kernels: kernels)
    let inference = Inference(
      folded.network, values: folded.values(from: network.initialValues(seed: 0)),
      images: parts.map(\.count).max() ?? batch, team: team, kernels: kernels)
    inference.prepare()
    let images = parts.map {
      LoadedMicrobatch.random(input, images: $0.count, classes: classes, firstPosition: $0.lowerBound)
    }
    var times: [Double] = []
    for _ in 0..<3 { _ = inference.probabilities(of: images) }
    try communicator.barrier()
    let began = monotonicSeconds()
    repeat {
      let start = monotonicSeconds()
      _ = inference.probabilities(of: images)
      times.append(monotonicSeconds() - start)
    } while monotonicSeconds() - began < seconds || times.count < 5
    return Report(benchmark: self, ranks: communicator.size, lanes: team.count, batchSeconds: times)
  }
}

extension LoadedMicrobatch {
  /// Images of uniform noise from −1 to 1 with random labels, to measure with.
  static func random(
    _ input: FeatureShape, images: Int, classes: Int, firstPosition: Int
  ) -> LoadedMicrobatch {
    let pixels = FloatBuffer(count: images * input.count)
    let random = RandomStream(seed: 0, purpose: .synthesis, position: firstPosition)
    for index in 0..<pixels.count { pixels[index] = random.uniform(at: index) * 2 - 1 }
    return LoadedMicrobatch(
      pixels: pixels,
      labels: (0..<images).map { Int32(random.integer(at: pixels.count + $0, below: classes)) },
      place: BatchPlace(seed: 0, epoch: 0, firstPosition: firstPosition))
  }
}
