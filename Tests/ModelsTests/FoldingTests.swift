import Layers
import Models
import Tensors
import Testing

/// Batch norms folded into convolutions, ReLUs and sums into their passes.
struct FoldingTests {
  /// The class scores of three random images, by inference.
  private func logits(_ network: Network, _ values: FloatBuffer, _ kernels: InstructionSet) -> [Float] {
    let images = 3
    let plan = Plan(network, images: images, mode: .inference, kernels: kernels)
    let prepared = PreparedWeights(network, values: values, mode: .inference, kernels: kernels)
    prepared.prepare(part: 0, of: 1)
    let pixels = FloatBuffer(count: images * network.input.count)
    let random = RandomStream(seed: 1, purpose: .test(9))
    for index in 0..<pixels.count { pixels[index] = random.normal(at: index) }
    let wave = WaveInFlight(plan, values: values, prepared: prepared)
    wave.load([
      WavePart(
        pixels: pixels.pointer, images: images, place: BatchPlace(seed: 0, epoch: 0, firstPosition: 0))
    ])
    for node in network.nodes.indices { wave.forward(node: node) }
    return (0..<(images * network.classes)).map {
      wave.logits[
        ($0 % network.classes / 16 * images + $0 / network.classes) * 16 + $0 % network.classes % 16]
    }
  }

  /// Initial weights, with norms and running statistics as a trained network might have them.
  private func trained(_ network: Network) -> FloatBuffer {
    let values = network.initialValues(seed: 4)
    for (number, entry) in network.layout.entries.enumerated() {
      let random = RandomStream(seed: 2, purpose: .test(number))
      let count = entry.shape.count
      switch entry.role {
      case .runningVariance, .normScale:
        entry.fill(values.pointer, with: (0..<count).map { 0.5 + random.uniform(at: $0) })
      case .runningMean, .normShift:
        entry.fill(values.pointer, with: (0..<count).map { 0.3 * random.normal(at: $0) })
      default: break
      }
    }
    return values
  }

  @Test(arguments: ["seed_cnn", "lenet5", "resnet18", "resnet18_small"])
  func foldedNetworksGiveTheSameScores(_ name: String) throws {
    let input = FeatureShape(channels: 3, height: 40, width: 40)
    for choice in [ConvolutionChoice.auto, .direct, .blas] {
      let network = try ModelZoo.network(name, input: input, options: .init(classes: 5)).computing(by: choice)
      let values = trained(network)
      let folded = FoldedNetwork(network)
      for kernels in [InstructionSet.detected, .ref] where choice == .auto || kernels == .detected {
        let expected = logits(network, values, kernels)
        let got = logits(folded.network, folded.values(from: values), kernels)
        let size = expected.map(abs).max() ?? 0
        let error = zip(expected, got).map { abs($0 - $1) }.max() ?? 1
        #expect(size > 0.01)
        #expect(error <= 1e-4 * max(1, size), "\(choice), \(kernels): \(error) of \(size)")
      }
    }
  }

  @Test func nothingRemainsOfWhatWasFolded() throws {
    let input = FeatureShape(channels: 3, height: 64, width: 64)
    let network = FoldedNetwork(try ModelZoo.network("resnet18", input: input, options: .init(classes: 5)))
      .network
    #expect(!network.nodes.contains { $0.layer is BatchNorm2d || $0.layer is ReLU || $0.layer is Add })
    let seed = FoldedNetwork(try ModelZoo.network("seed_cnn", input: input, options: .init(classes: 5)))
      .network
    #expect(!seed.nodes.contains { $0.layer is BatchNorm2d || $0.layer is Dropout })
    #expect(seed.layout.statistics.isEmpty)
  }
}
