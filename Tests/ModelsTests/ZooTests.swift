import Layers
import Models
import Tensors
import Testing

struct ZooTests {
  /// Parameters of torchvision 0.28's models for 1000 classes.
  static let torchvision = [
    ("alexnet", 61_100_840), ("vgg11", 132_863_336), ("vgg13", 133_047_848), ("vgg16", 138_357_544),
    ("vgg19", 143_667_240), ("vgg11_bn", 132_868_840), ("vgg13_bn", 133_053_736), ("vgg16_bn", 138_365_992),
    ("vgg19_bn", 143_678_248), ("googlenet", 6_624_904), ("resnet18", 11_689_512), ("resnet34", 21_797_672),
    ("resnet50", 25_557_032), ("resnet101", 44_549_160), ("resnext50_32x4d", 25_028_904),
    ("wide_resnet50_2", 68_883_240), ("densenet121", 7_978_856), ("densenet169", 14_149_480),
    ("squeezenet1_0", 1_248_424), ("squeezenet1_1", 1_235_496),
    ("mobilenet_v2", 3_504_872), ("mobilenet_v3_small", 2_542_856), ("mobilenet_v3_large", 5_483_032),
    ("efficientnet_b0", 5_288_548), ("efficientnet_b1", 7_794_184), ("efficientnet_b2", 9_109_994),
    ("convnext_tiny", 28_589_128),
  ]

  @Test(arguments: torchvision)
  func parameterCountsAreTorchvisions(name: String, count: Int) throws {
    let entry = try ModelZoo.entry(named: name)
    let network = try ModelZoo.network(name, input: entry.input, options: .init(classes: 1000))
    #expect(network.layout.parameterCount == count)
  }

  /// Every network takes other sizes, channels and numbers of classes, and lays out its memory in a moment.
  @Test(arguments: ModelZoo.entries.map(\.name))
  func anyChannelsAndClasses(name: String) throws {
    let size = try min(ModelZoo.entry(named: name).input.height, 96)
    let network = try ModelZoo.network(
      name, input: FeatureShape(channels: 4, height: size, width: size + 5), options: .init(classes: 7))
    #expect(network.output == FeatureShape(channels: 7))
    let clock = ContinuousClock()
    let time = clock.measure {
      #expect(Plan(network.fused(), images: 16, mode: .training, kernels: .detected).arenaCount > 0)
    }
    #expect(time < .seconds(5))
  }

  @Test(arguments: [
    ("resnet-50", "resnet50"), ("vgg11bn", "vgg11_bn"), ("densenet", "densenet121"),
    ("Squeezenet1.1", "squeezenet1_1"),
  ])
  func theNearestNamesAreOffered(wrong: String, meant: String) {
    let error = #expect(throws: NetworkError.self) { try ModelZoo.entry(named: wrong) }
    #expect(error?.description.contains(meant) == true, "\(error?.description ?? "")")
    let far = #expect(throws: NetworkError.self) { try ModelZoo.entry(named: "transformer_xxl") }
    #expect(far?.description.contains(", but ") == false)
  }

  @Test(arguments: [
    ("alexnet", 28, "features.5"), ("vgg11", 28, "features.20"), ("squeezenet1_0", 16, "features.11"),
  ])
  func theLayerWhereImagesVanishIsNamed(name: String, size: Int, layer: String) {
    let error = #expect(throws: NetworkError.self) {
      try ModelZoo.network(
        name, input: FeatureShape(channels: 3, height: size, width: size), options: .init(classes: 2))
    }
    #expect(
      error?.description.hasPrefix("\(name) for input (3, \(size), \(size)): \(layer): ") == true,
      "\(error?.description ?? "")")
  }

  /// torchvision's `init.*` calls, by array.
  @Test(arguments: [
    ("resnet50", "layer1.0.conv2.weight", Float(2.0 / (64 * 9)).squareRoot()),
    ("densenet121", "features.denseblock1.denselayer1.conv1.weight", Float(2.0 / 64).squareRoot()),
    ("vgg11", "classifier.6.weight", 0.01), ("googlenet", "inception3a.branch1.conv.weight", 0.01),
    ("squeezenet1_1", "features.0.weight", Float(2.0 / 27).squareRoot()),
    ("squeezenet1_1", "classifier.1.weight", 0.01),
    ("convnext_tiny", "features.1.0.block.3.weight", 0.02),
    ("efficientnet_b0", "classifier.1.weight", Float(1.0 / 300).squareRoot()),
    ("mobilenet_v2", "features.2.conv.1.0.weight", Float(2.0 / (96 * 9)).squareRoot()),
    ("alexnet", "features.3.weight", Float(1.0 / (3 * 64 * 25)).squareRoot()),
  ])
  func firstValuesDeviateAsTorchvisions(name: String, array: String, deviation: Float) throws {
    let entry = try ModelZoo.entry(named: name)
    let network = try ModelZoo.network(name, input: entry.input, options: .init(classes: 100))
    let found = try #require(network.layout.entries.first { $0.name == array })
    let values = try #require(network.initialValues(of: array, seed: 3))
    #expect(values.count == found.shape.count)
    let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(values.count)
    #expect(abs(square.squareRoot() / Double(deviation) - 1) < 0.05, "\(square.squareRoot()) \(deviation)")
  }
}
