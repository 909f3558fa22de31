import Layers
import Models
import Tensors
import Testing

struct NetworkTests {
  /// Counts of torchvision's resnet18 (8 classes) and of the others' definitions in PyTorch.
  @Test(arguments: [
    ("resnet18", 3, 64, 11_180_616), ("resnet18_small", 3, 28, 11_172_936), ("seed_cnn", 3, 64, 2_193_160),
    ("lenet5", 1, 28, 61_536),
  ])
  func parameterCountsAreThoseOfPyTorch(name: String, channels: Int, size: Int, count: Int) throws {
    let network = try ModelZoo.network(
      name, input: FeatureShape(channels: channels, height: size, width: size), options: .init(classes: 8))
    #expect(network.layout.parameterCount == count)
    #expect(network.output == FeatureShape(channels: 8))
  }

  @Test func resNetNamesAreTorchvisions() throws {
    let network = try ModelZoo.network(
      "resnet18", input: FeatureShape(channels: 3, height: 64, width: 64), options: .init(classes: 8))
    let names = network.layout.entries.map(\.name)
    #expect(names.prefix(4) == ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight"])
    for name in [
      "layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var", "fc.bias", "layer4.1.bn2.weight",
    ] {
      #expect(names.contains(name))
    }
  }

  @Test func aNamedNetworkAndItsListOfLayersAreTheSame() throws {
    let input = FeatureShape(channels: 1, height: 28, width: 28)
    let convolution = { (channels: Int, padding: ConfigValue) in
      ConfigValue.map([
        "conv2d": .map(["channels": .integer(channels), "kernel": .integer(5), "padding": padding])
      ])
    }
    let pool = ConfigValue.map(["max_pool2d": .map(["kernel": .integer(2)])])
    let linear = { (features: ConfigValue) in ConfigValue.map(["linear": .map(["features": features])]) }
    let list: [ConfigValue] = [
      convolution(6, .text("same")), .text("relu"), pool, convolution(16, .integer(0)), .text("relu"), pool,
      .text("flatten"), linear(.integer(120)), .text("relu"), linear(.integer(84)), .text("relu"),
      linear(.text("classes")),
    ]
    let written = try LayerList.network(list, input: input, classes: 10, initialisation: nil)
    let named = try ModelZoo.network("lenet5", input: input, options: .init(classes: 10))
    #expect(written.nodes.map(\.shape) == named.nodes.map(\.shape))
    #expect(written.initialValues(seed: 1).values == named.initialValues(seed: 1).values)
    #expect(written.layout.entries.first?.name == "0.weight")
  }

  @Test(arguments: [
    (ConfigValue.text("conv3d"), "no layer is named \"conv3d\""),
    (.map(["conv2d": .map(["kernel": .integer(3)])]), "conv2d expects a setting \"channels\""),
    (
      .map(["conv2d": .map(["channels": .text("many"), "kernel": .integer(3)])]),
      "conv2d.channels expects a whole number"
    ),
    (.map(["relu": .map(["kernel": .integer(3)])]), "relu has no setting \"kernel\""),
    (.map(["add": .map(["inputs": .list([.text("x"), .text("y")])])]), "no layer before it is named \"x\""),
    (.map(["max_pool2d": .map(["kernel": .integer(9)])]), "0:"),
    (.map(["dropout": .map(["p": .number(1.5)])]), "probability from 0 to 1"),
    (.integer(7), "expects the name of a layer or a map, got 7"),
  ])
  func mistakesInAListAreNamedWithTheirPlace(item: ConfigValue, message: String) {
    let error = #expect(throws: NetworkError.self) {
      try LayerList.network(
        [item], input: FeatureShape(channels: 1, height: 4, width: 4), classes: 2, initialisation: nil)
    }
    #expect(error?.description.hasPrefix("model.layers[0]: ") == true)
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }

  @Test func whatNothingReadsIsRefused() throws {
    var network = NetworkBuilder(input: FeatureShape(channels: 2))
    let first = try network.add("first", Linear(outputFeatures: 2))
    try network.add("lost", Linear(outputFeatures: 3), from: first)
    try network.add("last", Linear(outputFeatures: 2), from: first)
    let error = #expect(throws: NetworkError.self) { try network.build() }
    #expect(error?.description == "lost: nothing reads its output")
  }

  @Test func inputsThatVanishAreRefusedByName() {
    let error = #expect(throws: NetworkError.self) {
      try ModelZoo.network(
        "seed_cnn", input: FeatureShape(channels: 3, height: 4, width: 4), options: .init(classes: 2))
    }
    #expect(error?.description.contains("block3.pool") == true, "\(error?.description ?? "")")
  }

  @Test func anAlgorithmThatCantDoALayerIsRefused() throws {
    let input = FeatureShape(channels: 3, height: 64, width: 64)
    let network = try ModelZoo.network("resnet18", input: input, options: .init(classes: 2))
    let error = #expect(throws: NetworkError.self) { try network.computing(by: .winograd4) }
    #expect(
      error?.description
        == "conv1: winograd4 can't do a convolution of 3 to 64 channels with kernel (7, 7), stride (2, 2), "
        + "dilation (1, 1) and 1 group(s); auto, blas, direct can")
    for choice in [ConvolutionChoice.auto, .blas, .direct] {
      let chosen = try network.computing(by: choice)
      #expect(chosen.nodes.allSatisfy { ($0.layer as? Conv2d)?.algorithm ?? choice == choice }, "\(choice)")
    }
    // A convolution of a list may have its own.
    let item = ConfigValue.map([
      "conv2d": .map(["channels": .integer(4), "kernel": .integer(5), "algorithm": .text("winograd2")])
    ])
    let refusal = #expect(throws: NetworkError.self) {
      try LayerList.network([item], input: input, classes: 2, initialisation: nil)
    }
    #expect(refusal?.description.hasPrefix("model.layers[0]: 0: winograd2 can't do") == true)
  }

  /// A weight keeps its value and its place in files, however it lies in memory.
  @Test func fusionKeepsTheFirstValuesOfArrays() throws {
    let network = try ModelZoo.network(
      "seed_cnn", input: FeatureShape(channels: 3, height: 16, width: 16), options: .init(classes: 2))
    let fused = network.fused()
    #expect(!fused.nodes.contains { $0.layer is Flatten })
    let (a, b) = (network.initialValues(seed: 1), fused.initialValues(seed: 1))
    for (x, y) in zip(network.layout.entries, fused.layout.entries) {
      #expect(x.name == y.name && x.array(in: a.pointer) == y.array(in: b.pointer), "\(x.name)")
    }
    #expect(a.values != b.values)
  }

  @Test func theSeedDecidesTheFirstValues() throws {
    let network = try ModelZoo.network(
      "seed_cnn", input: FeatureShape(channels: 3, height: 16, width: 16), options: .init(classes: 2))
    #expect(network.initialValues(seed: 1).values == network.initialValues(seed: 1).values)
    #expect(network.initialValues(seed: 1).values != network.initialValues(seed: 2).values)
  }
}
