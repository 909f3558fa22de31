import Foundation
import Layers
import Models
import Tensors
import Testing

/// Models of each family that torchvision has, from equal weights on equal images: class scores, loss and gradients
/// against digests of PyTorch's fp64, which scripts/peers/compare_zoo.py makes with `--digests`. All models, and
/// the arrays themselves, are compared by that script.
@Suite(.serialized)
struct ZooGoldenTests {
  private static let images = 4
  private static let classes = 4
  private static let input = FeatureShape(channels: 3, height: 64, width: 64)

  private let golden: Safetensors.Reader

  init() throws {
    golden = try Safetensors.Reader(
      path: try #require(Bundle.module.resourceURL).appendingPathComponent("Golden/zoo.safetensors").path)
  }

  @Test(arguments: [
    "alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet50", "resnext50_32x4d", "squeezenet1_0",
    "squeezenet1_1", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    "efficientnet_b0", "convnext_tiny",
  ])
  func scoresLossAndGradientsAreTorchvisions(name: String) throws {
    let described = try ModelZoo.network(
      name, input: Self.input, options: .init(classes: Self.classes, dropout: 0, stochasticDepth: 0))
    let arrays = ZooArrays(seed: try #require(try golden.integers("\(name).seed").first))
    let folded = FoldedNetwork(described)
    try checkScores(name, described.fused(), values(of: described.fused(), arrays), arrays)
    try checkScores(name, folded.network, folded.values(from: values(of: described, arrays)), arrays)
    // Winograd's transforms round several times as much: here the order of the definition, as PyTorch adds.
    let direct = try described.computing(by: .direct).fused()
    try checkTraining(name, direct, values(of: direct, arrays), arrays)
  }

  /// As the network keeps them: a linear layer that has taken in a flattening has its weights in another order.
  private func values(of network: Network, _ arrays: ZooArrays) -> FloatBuffer {
    let values = FloatBuffer(count: network.layout.extent)
    for entry in network.layout.entries { entry.fill(values.pointer, with: arrays.array(entry)) }
    return values
  }

  /// After forward of all images, whose pixels it returns too: they must stay.
  private func forward(
    _ network: Network, _ values: FloatBuffer, _ mode: Mode, _ arrays: ZooArrays
  ) -> (WaveInFlight, FloatBuffer) {
    let prepared = PreparedWeights(network, values: values, mode: mode, kernels: .detected)
    prepared.prepare(part: 0, of: 1)
    let plan = Plan(network, images: Self.images, mode: mode, kernels: .detected)
    let wave = WaveInFlight(plan, values: values, prepared: prepared)
    let pixels = FloatBuffer(count: Self.images * Self.input.count)
    let (area, channels) = (Self.input.area, Self.input.channels)
    for (index, value) in arrays.images(Self.images, Self.input).enumerated() {
      let (image, channel) = (index / area / channels, index / area % channels)
      pixels[(channel * Self.images + image) * area + index % area] = value
    }
    let place = BatchPlace(seed: 0, epoch: 0, firstPosition: 0)
    wave.load([WavePart(pixels: pixels.pointer, images: Self.images, place: place)])
    for node in network.nodes.indices { wave.forward(node: node) }
    return (wave, pixels)
  }

  private func checkScores(
    _ name: String, _ network: Network, _ values: FloatBuffer, _ arrays: ZooArrays
  ) throws {
    let (wave, pixels) = forward(network, values, .inference, arrays)
    try withExtendedLifetime(pixels) {
      let expected = try golden.tensor("\(name).scores").values
      try #require(expected.count == Self.images * Self.classes)
      let largest = expected.map(abs).max() ?? 0
      let furthest =
        expected.indices
        .map { abs(wave.logits[$0 / Self.classes * 16 + $0 % Self.classes] - expected[$0]) }.max()
        ?? .infinity
      #expect(furthest <= 1e-4 * largest, "\(furthest) of \(largest)")
    }
  }

  private func checkTraining(
    _ name: String, _ network: Network, _ values: FloatBuffer, _ arrays: ZooArrays
  ) throws {
    let (wave, pixels) = forward(network, values, .training, arrays)
    let loss = wave.computeLoss(
      SoftmaxCrossEntropy(classes: Self.classes), microbatch: 0,
      labels: (0..<Self.images).map { Int32($0 % Self.classes) }, denominator: Float(Self.images))
    let expectedLoss = try golden.tensor("\(name).loss").values[0]
    #expect(abs(Float(loss.loss) / Float(Self.images) - expectedLoss) <= 1e-4 * abs(expectedLoss))

    let gradient = FloatBuffer(count: network.layout.extent)
    withExtendedLifetime(pixels) {
      for node in network.nodes.indices.reversed() {
        let parameters = network.nodes[node].parameters
        if !parameters.isEmpty {
          wave.backwardParameters(
            node: node, microbatch: 0, into: parameters.map { gradient.pointer + $0.offset })
        }
        wave.backwardData(node: node)
      }
    }
    try checkGradients(name, network.layout, gradient, arrays)
  }

  /// Each gradient by its norm, and by its product with a vector of random numbers, in which an error of some length
  /// counts about as much. How far PyTorch's fp32 is away sets the bound, since rounding carries values across the
  /// kinks of ReLUs: nothing near the head, a few percent in the first layers of a ResNet-50.
  private func checkGradients(
    _ name: String, _ layout: FlatLayout, _ gradient: FloatBuffer, _ arrays: ZooArrays
  ) throws {
    let entries = layout.parameters.sorted { Array($0.name.utf8).lexicographicallyPrecedes($1.name.utf8) }
    let rows = try golden.tensor("\(name).gradients").values
    try #require(rows.count == 3 * entries.count)
    let largest = entries.indices.map { rows[3 * $0] }.max() ?? 0
    for (number, entry) in entries.enumerated() {
      let (norm, product, spread) = (rows[3 * number], rows[3 * number + 1], rows[3 * number + 2])
      let found = entry.array(in: gradient.pointer)
      let signs = arrays.symmetric("signs/\(entry.name)", count: found.count)
      var (square, sum) = (0.0, 0.0)
      for (x, sign) in zip(found, signs) {
        square += Double(x) * Double(x)
        sum += Double(x) * Double(sign)
      }
      let allowed = Double(10 * spread + 1e-3 * norm + 1e-5 * largest)
      #expect(abs(square.squareRoot() - Double(norm)) <= allowed, "norm of \(entry.name)")
      #expect(abs(sum - Double(product)) <= allowed, "product of \(entry.name)")
    }
  }
}
