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

  /// An inverted bottleneck with gates, each function once, in training and in inference.
  private func bottleneck() throws -> Network {
    var builder = NetworkBuilder(input: FeatureShape(channels: 3, height: 12, width: 12))
    try builder.add(
      "stem", Conv2d(outputChannels: 20, kernel: 3, stride: 2, padding: .explicit(1), bias: false))
    try builder.add("stem_norm", BatchNorm2d())
    let shortcut = try builder.add("stem_function", Hardswish())
    try builder.add("expand", Conv2d(outputChannels: 40, kernel: 1, bias: false))
    try builder.add("expand_norm", BatchNorm2d())
    try builder.add("expand_function", ReLU6())
    try builder.add(
      "depthwise", Conv2d(outputChannels: 40, kernel: 3, padding: .explicit(1), groups: 40, bias: false))
    try builder.add("depthwise_norm", BatchNorm2d())
    let x = try builder.add("depthwise_function", SiLU())
    try builder.add("squeeze", AdaptiveAvgPool2d(), from: x)
    try builder.add("reduce", Conv2d(outputChannels: 10, kernel: 1))
    try builder.add("reduce_function", SiLU())
    try builder.add("excite", Conv2d(outputChannels: 40, kernel: 1))
    let gates = try builder.add("gates", Sigmoid())
    try builder.add("gated", Multiply(), from: x, gates)
    try builder.add("project", Conv2d(outputChannels: 20, kernel: 1, bias: false))
    let branch = try builder.add("project_norm", BatchNorm2d())
    try builder.add("sum", Add(), from: branch, shortcut)
    try builder.add("plain", Conv2d(outputChannels: 33, kernel: 3, padding: .explicit(1)))
    try builder.add("plain_function", ReLU6())
    try builder.add("pool", AdaptiveAvgPool2d())
    try builder.add("flatten", Flatten())
    try builder.add("head", Linear(outputFeatures: 5))
    return try builder.build()
  }

  @Test func functionsAndSumsAreDrawnIn() throws {
    let network = try bottleneck()
    let values = trained(network)
    let folded = FoldedNetwork(network)
    for kernels in InstructionSet.allCases where kernels <= .detected {
      let expected = logits(network, values, kernels)
      #expect(logits(network.fused(), values, kernels) == expected)
      let got = logits(folded.network, folded.values(from: values), kernels)
      let size = expected.map(abs).max() ?? 0
      let error = zip(expected, got).map { abs($0 - $1) }.max() ?? 1
      #expect(size > 0.01 && error <= 1e-4 * max(1, size), "\(kernels): \(error) of \(size)")
    }
    func kinds(_ network: Network) -> [String] { network.nodes.map(\.layer.kind) }
    #expect(
      kinds(network.fused()) == [
        "Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "AdaptiveAvgPool2d",
        "Conv2d",
        "SiLU", "Conv2d", "Sigmoid", "Multiply", "Conv2d", "BatchNorm2d", "Conv2d", "ReLU6",
        "AdaptiveAvgPool2d",
        "Linear",
      ])
    #expect(
      kinds(folded.network) == [
        "Conv2d", "Conv2d", "Conv2d", "AdaptiveAvgPool2d", "Conv2d", "Conv2d", "Sigmoid", "Multiply",
        "Conv2d",
        "Conv2d", "AdaptiveAvgPool2d", "Linear",
      ])
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
