import Layers
import Models
import Tensors
import Testing

struct FreezingTests {
  private static let input = FeatureShape(channels: 3, height: 16, width: 16)

  private func zoo(_ name: String) throws -> Network {
    try ModelZoo.network(name, input: Self.input, options: .init(classes: 5))
  }

  /// What the layers of a network may be frozen as: trunks, a layer in the middle, every second layer, norms.
  private func choices(_ network: Network) -> [Set<String>] {
    let learned = network.nodes.filter { !$0.parameters.isEmpty }.map(\.name)
    let norms = network.nodes.filter { $0.layer is BatchNorm2d }.map(\.name)
    return [
      Set(learned.dropLast()), Set(learned.prefix(learned.count / 2)), Set(learned.suffix(learned.count / 2)),
      [learned[learned.count / 2]], Set(learned.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)),
      Set(norms),
    ]
  }

  /// What is trained gets the gradients that it gets where everything is, bit by bit, as long as batch norms do
  /// what they did.
  @Test(arguments: ActivationCheckpointing.allCases)
  func gradientsAreThoseOfTheWholeNetwork(checkpointing: ActivationCheckpointing) throws {
    for network in [
      try branchingNetwork(), try winogradNetwork(), try normedNetwork(), try zoo("seed_cnn"),
      try zoo("lenet5"), try zoo("resnet18"),
    ] {
      let whole = PlanRun(network.fused(), microbatches: [2, 3])(mode: .training)
      for names in choices(network) {
        let frozen = network.freezing(names, batchNorm: .train).fused()
        #expect(frozen.layout.entries.map(\.name) == network.layout.entries.map(\.name))
        let part = PlanRun(frozen, microbatches: [2, 3])(mode: .training, segments: checkpointing)
        #expect(part.logits == whole.logits)
        #expect(part.statistics == whole.statistics)
        let trained = frozen.layout.parameters.map(\.name)
        #expect(!trained.isEmpty && frozen.layout.constants.count + trained.count == whole.gradients[0].count)
        for (number, gradients) in part.gradients.enumerated() {
          for name in trained {
            #expect(gradients[name] == whole.gradients[number][name], "\(name) without \(names.sorted())")
          }
        }
      }
    }
  }

  /// Norms whose dx hangs on sums that the gradients of their parameters are made of.
  private func normedNetwork() throws -> Network {
    var network = NetworkBuilder(input: FeatureShape(channels: 3, height: 8, width: 8))
    for number in 0..<3 {
      try network.add("conv\(number)", Conv2d(outputChannels: 20, kernel: 3))
      try network.add("norm\(number)", number == 2 ? LayerNorm() : GroupNorm(groups: 4 + number))
      try network.add("scale\(number)", LayerScale())
      try network.add("relu\(number)", ReLU())
    }
    try network.add("pool", AdaptiveAvgPool2d())
    try network.add("flatten", Flatten())
    try network.add("fc", Linear(outputFeatures: 5))
    return try network.build()
  }

  /// Frozen batch norms norm in training as in inference.
  @Test func frozenNormsGiveTheLogitsOfInference() throws {
    for network in [try branchingNetwork(), try zoo("resnet18")] {
      let learned = network.nodes.filter { !$0.parameters.isEmpty }.map(\.name)
      let frozen = network.freezing(Set(learned.dropLast())).fused()
      var run = PlanRun(frozen, microbatches: [2, 3])
      moveStatistics(&run)
      let (training, inference) = (run(mode: .training), run(mode: .inference))
      #expect(training.logits == inference.logits)
      #expect(training.statistics[0].isEmpty)
      var whole = PlanRun(network.fused(), microbatches: [2, 3])
      moveStatistics(&whole)
      #expect(whole(mode: .inference).logits == inference.logits)
      #expect(whole(mode: .training).logits != inference.logits)
    }
  }

  private func moveStatistics(_ run: inout PlanRun) {
    let random = RandomStream(seed: 4, purpose: .test(31))
    for entry in run.network.layout.entries where entry.role.isStatistic {
      let values = (0..<entry.shape.count).map {
        entry.role == .runningMean ? 0.2 * random.uniform(at: $0) - 0.1 : 0.5 + random.uniform(at: $0)
      }
      entry.fill(run.values.pointer, with: values)
    }
  }

  /// dx passes through norms whose statistics don't depend on x.
  @Test func gradientsThroughFrozenNormsMatchCentralDifferences() throws {
    let frozen = try branchingNetwork().freezing(["norm", "a_norm"]).fused()
    var run = PlanRun(frozen, microbatches: [3])
    moveStatistics(&run)
    let gradients = run(mode: .training).gradients[0]
    for name in ["stem.weight", "a.weight", "stem.bias", "c.weight"] {
      let entry = try #require(frozen.layout.parameters.first { $0.name == name })
      let gradient = try #require(gradients[name])
      let scale = Double(gradient.map(abs).max() ?? 0)
      var array = entry.array(in: run.values.pointer)
      for position in stride(from: 0, to: array.count, by: 5) {
        let value = array[position]
        func loss(_ moved: Float) -> Double {
          array[position] = moved
          entry.fill(run.values.pointer, with: array)
          return run.loss()
        }
        let errors = [4e-3, 1e-3, 4e-4].map { (step: Float) -> Double in
          let numeric = (loss(value + step) - loss(value - step)) / Double(2 * step)
          return abs(numeric - Double(gradient[position])) / scale
        }
        #expect(errors.contains { $0 < 1e-2 }, "\(name)[\(position)]: \(errors)")
        _ = loss(value)
      }
    }
  }

  /// Nothing is kept for a backward pass that doesn't come, and no gradient has room.
  @Test func aFrozenTrunkNeedsTheMemoryOfInference() throws {
    let network = try ModelZoo.network(
      "resnet18", input: FeatureShape(channels: 3, height: 64, width: 64), options: .init(classes: 8))
    let learned = network.nodes.filter { !$0.parameters.isEmpty }.map(\.name)
    let frozen = network.freezing(Set(learned.dropLast())).fused()
    let plan = Plan(frozen, images: 64, microbatches: 4, mode: .training, kernels: .detected)
    let whole = Plan(network.fused(), images: 64, microbatches: 4, mode: .training, kernels: .detected)
    let inference = Plan(frozen, images: 64, microbatches: 4, mode: .inference, kernels: .detected)
    #expect(plan.arenaCount < inference.arenaCount + 64 * 1024)
    #expect(4 * plan.arenaCount < whole.arenaCount)
    #expect(plan.gradientTargets.joined().allSatisfy { $0 == .none })
    #expect(frozen.nodes.filter(\.runsBackward).map(\.name) == ["fc"])
    // 16 rows of 512, and 16.
    #expect(frozen.layout.parameterExtent == 9 * FlatLayout.chunk)
    #expect(frozen.layout.summedExtent == frozen.layout.parameterExtent)
    #expect(frozen.layout.parameterCount == network.layout.parameterCount)
    let prepared = [frozen, network.fused()].map {
      PreparedWeights.count(for: $0, mode: .training, kernels: .detected)
    }
    #expect(prepared[0] < prepared[1])
  }

  @Test func blocksAreThoseThatPeopleCount() throws {
    let resnet = try zoo("resnet18").blocks
    #expect(
      resnet.map(\.name) == [
        "conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0",
        "layer4.1", "fc",
      ])
    #expect(resnet[0].layers == ["conv1", "bn1"])
    #expect(resnet[3].layers.contains("layer2.0.downsample.1"))
    #expect(try zoo("seed_cnn").blocks.map(\.name) == ["block1", "block2", "block3", "hidden", "classifier"])
    #expect(try zoo("lenet5").blocks.map(\.name) == ["conv1", "conv2", "fc1", "fc2", "fc3"])
  }

  @Test(
    arguments: [
      ("layer1", "layer1.0.conv1.weight", true), ("layer1.*", "layer1.0.conv1.weight", true),
      ("layer1", "layer10.0.conv1.weight", false), ("*.bn?", "layer1.0.bn2.bias", true),
      ("*.bn?", "layer1.0.downsample.1.bias", false), ("*bias", "fc.bias", true), ("fc", "fc.weight", true),
      ("fc.weight", "fc.weight", true), ("fc.weight", "fc.bias", false), ("", "fc.bias", false),
      ("*", "a.b", true),
    ])
  func patternsFitModulesAndArrays(pattern: String, name: String, fits: Bool) {
    #expect(NamePattern(pattern).fits(name) == fits)
  }
}
