import Layers
import Models
import Synchronization
import Tensors
import Testing

/// max |a − b| / max |b|
private func distance(_ a: [Float], _ b: [Float]) -> Float {
  zip(a, b).map { abs($0 - $1) }.max().map { $0 / max(b.map(abs).max() ?? 0, .leastNormalMagnitude) } ?? 0
}

struct PlanTests {
  @Test func gradientsOfBranchingNetworksMatchCentralDifferences() throws {
    let networks = [try branchingNetwork(), try gatedNetwork(), try growingNetwork(following: .silu)]
    for network in networks.flatMap({ [$0, $0.fused()] }) {
      let run = PlanRun(network, microbatches: [3])
      let gradients = run(mode: .training).gradients[0]
      for entry in network.layout.parameters {
        let gradient = try #require(gradients[entry.name])
        // A bias before a batch norm moves nothing.
        let scale =
          entry.name == "stem.bias" || entry.name == "a.bias" ? 1 : Double(gradient.map(abs).max() ?? 0)
        var array = entry.array(in: run.values.pointer)
        for position in stride(from: 0, to: array.count, by: max(7, array.count / 20)) {
          let value = array[position]
          func loss(_ moved: Float) -> Double {
            array[position] = moved
            entry.fill(run.values.pointer, with: array)
            return run.loss()
          }
          func error(_ step: Float) -> Double {
            let numeric = (loss(value + step) - loss(value - step)) / Double(2 * step)
            return abs(numeric - Double(gradient[position])) / scale
          }
          // Kinks of the ReLUs limit the agreement of a whole network; a smaller step meets fewer.
          let errors = [4e-3, 1e-3, 4e-4].map { error($0) }
          #expect(errors.contains { $0 < 1e-2 }, "\(entry.name)[\(position)]: \(errors)")
          array[position] = value
          entry.fill(run.values.pointer, with: array)
        }
      }
    }
  }

  /// Fusion reorders the sums of the first convolution and of the linear layer, and nothing else.
  @Test func fusionChangesLogitsAndGradientsByRoundingOnly() throws {
    let network = try branchingNetwork()
    let fused = network.fused()
    #expect(fused.nodes.count == network.nodes.count - 3)
    #expect(fused.layout.entries.map(\.name) == network.layout.entries.map(\.name))
    #expect(fused.layout.entries.map(\.shape) == network.layout.entries.map(\.shape))
    for mode in [Mode.training, .inference] {
      let (a, b) = (
        PlanRun(network, microbatches: [3])(mode: mode), PlanRun(fused, microbatches: [3])(mode: mode)
      )
      #expect(distance(a.logits, b.logits) < 1e-6)
      for (a, b) in zip(a.gradients, b.gradients) {
        for (name, gradient) in a {
          // What is zero in theory has no scale.
          if name == "stem.bias" || name == "a.bias" { continue }
          #expect(distance(gradient, try #require(b[name])) < 2e-5, "\(name)")
        }
      }
    }
  }

  /// max(relu(x)) = relu(max(x)), gradients included; where another layer reads the ReLU, it stays.
  @Test func poolsGoBeforeTheReLUsTheyRead() throws {
    var builder = NetworkBuilder(input: FeatureShape(channels: 2, height: 11, width: 11))
    try builder.add("conv1", Conv2d(outputChannels: 5, kernel: 3))
    try builder.add("relu1", ReLU())
    try builder.add("pool1", MaxPool2d(kernel: 3, stride: 2, padding: 1))
    try builder.add("conv2", Conv2d(outputChannels: 6, kernel: 3, padding: .explicit(1)))
    let shared = try builder.add("relu2", ReLU())
    let pooled = try builder.add("pool2", MaxPool2d(kernel: 2))
    let other = try builder.add("pool3", AvgPool2d(kernel: 2), from: shared)
    try builder.add("join", Concat(), from: pooled, other)
    try builder.add("flatten", Flatten())
    try builder.add("fc", Linear(outputFeatures: 4))
    let network = try builder.build()
    let fused = network.fused()
    #expect(
      fused.nodes.map { "\($0.name) \($0.layer.kind)" }.prefix(6)
        == ["conv1 Conv2d", "pool1 MaxPool2d", "relu1 ReLU", "conv2 Conv2d", "relu2 ReLU", "pool2 MaxPool2d"])
    let (a, b) = (
      PlanRun(network, microbatches: [3])(mode: .training), PlanRun(fused, microbatches: [3])(mode: .training)
    )
    #expect(distance(a.logits, b.logits) < 1e-6)
    for (name, gradient) in a.gradients[0] {
      #expect(distance(gradient, try #require(b.gradients[0][name])) < 2e-5, "\(name)")
    }
  }

  @Test func aPlanWithRoomForMoreImagesGivesTheSameBits() throws {
    let run = PlanRun(try branchingNetwork().fused(), microbatches: [3])
    #expect(run(mode: .training) == run(mode: .training, room: 8))
    #expect(run(mode: .inference) == run(mode: .inference, room: 8))
  }

  /// Whoever computes a microbatch, beside whatever others: the same bits.
  @Test func aWaveGivesEachMicrobatchWhatItGetsAlone() throws {
    let networks = [
      try branchingNetwork(), try branchingNetwork().fused(), try winogradNetwork().fused(),
      try gatedNetwork().fused(), try growingNetwork(),
    ]
    for network in networks {
      for kernels in InstructionSet.allCases where kernels <= .detected {
        let wave = PlanRun(network, microbatches: [2, 3, 1, 3])(mode: .training, kernels: kernels)
        var logits: [Float] = []
        for (number, images) in [2, 3, 1, 3].enumerated() {
          let alone = PlanRun(network, microbatches: [images], firstImage: [0, 2, 5, 6][number])(
            mode: .training, kernels: kernels)
          logits += alone.logits
          #expect(alone.gradients[0] == wave.gradients[number], "\(kernels), microbatch \(number)")
          #expect(alone.statistics[0] == wave.statistics[number], "\(kernels), microbatch \(number)")
        }
        #expect(logits == wave.logits, "\(kernels)")
      }
    }
  }

  /// Convolutions call between microbatches where somebody wants to be called, and no bit changes.
  @Test func pausesChangeNoBit() throws {
    for network in [try winogradNetwork(), try branchingNetwork().fused()] {
      let run = PlanRun(network, microbatches: [3, 2, 4])
      let pauses = Atomic(0)
      let paused = run(mode: .training) { _ = pauses.add(1, ordering: .relaxed) }
      #expect(paused == run(mode: .training))
      // Forward of each, and backward of all that aren't the first.
      let convolutions = network.nodes.count { $0.layer is Conv2d || $0.layer is Linear }
      #expect(pauses.load(ordering: .relaxed) == 3 * (2 * convolutions - 1))
    }
  }

  /// The gradient of the first convolution's output, the largest of all, is asked for image by image.
  @Test func theFirstConvolutionsGradientHasNoRoomOfItsOwn() throws {
    let input = FeatureShape(channels: 3, height: 32, width: 32)
    let network = try ModelZoo.network("seed_cnn", input: input, options: .init(classes: 5)).fused()
    let plan = Plan(network, images: 16, mode: .training, kernels: .detected)
    #expect(plan.askedForGradient.first == 1)
    #expect(plan.askedForGradient.dropFirst().allSatisfy { $0 == nil })
    #expect(plan.gradientTargets[1] == [Plan.GradientTarget.none])
    let inference = Plan(network, images: 16, mode: .inference, kernels: .detected)
    #expect(inference.askedForGradient.allSatisfy { $0 == nil })
    // Of a frozen convolution nobody wants the gradient, by parts or whole.
    let frozen = network.freezing(["block1.conv", "block1.norm"])
    #expect(
      Plan(frozen, images: 16, mode: .training, kernels: .detected).askedForGradient.allSatisfy { $0 == nil })
  }

  @Test func inferenceNeedsLessMemoryThanTraining() throws {
    let network = try ModelZoo.network(
      "resnet18", input: FeatureShape(channels: 3, height: 64, width: 64), options: .init(classes: 8)
    ).fused()
    let training = Plan(network, images: 16, mode: .training, kernels: .detected)
    let inference = Plan(network, images: 16, mode: .inference, kernels: .detected)
    #expect(inference.arenaCount * 3 < training.arenaCount)
  }

  /// A join whose first input lies where the join lies gives the same as one that copies it.
  @Test func joinsThatContinueTheirInputGiveTheSameBits() throws {
    let (continued, copied) = (try growingNetwork(), try growingNetwork(CopyingConcat()))
    func outputs(_ network: Network) -> Int {
      let plan = Plan(network, images: 3, mode: .training, kernels: .detected)
      return Set(plan.outputs).count
    }
    #expect(outputs(continued) < outputs(copied))
    for mode in [Mode.training, .inference] {
      #expect(
        PlanRun(continued, microbatches: [2, 1])(mode: mode)
          == PlanRun(copied, microbatches: [2, 1])(mode: mode))
    }
  }

  /// Whoever joins 7 blocks of channels needs no room for 2 + 3 + … + 7 of them.
  @Test func denseBlocksHoldEveryChannelOnce() throws {
    let network = try ModelZoo.network(
      "densenet121", input: FeatureShape(channels: 3, height: 64, width: 64), options: .init(classes: 8)
    ).fused()
    let plan = Plan(network, images: 16, mode: .training, kernels: .detected)
    let joins = network.nodes.indices.filter { network.nodes[$0].layer is Concat }
    #expect(joins.count == 58)
    #expect(Set(joins.map { plan.outputs[$0] }).count <= 4)
  }

  /// What is computed again is what was computed before, with arrays in other places.
  @Test func checkpointingGivesTheSameBits() throws {
    let input = FeatureShape(channels: 3, height: 16, width: 16)
    var networks = [
      try branchingNetwork().fused(), try winogradNetwork().fused(), try gatedNetwork().fused(),
      try growingNetwork(),
    ]
    for model in ["resnet18", "resnet18_small", "seed_cnn", "lenet5"] {
      networks.append(try ModelZoo.network(model, input: input, options: .init(classes: 5)).fused())
      networks.append(try ModelZoo.network(model, input: input, options: .init(classes: 5)))
    }
    var repeated = 0
    for network in networks {
      let run = PlanRun(network, microbatches: [2, 3])
      #expect(run(mode: .training, segments: .blocks) == run(mode: .training), "\(network.nodes[0].name)")
      repeated +=
        Plan(network, images: 5, microbatches: 2, mode: .training, checkpointing: .blocks, kernels: .detected)
        .repeated.count
    }
    #expect(repeated > 100)
  }

  @Test(arguments: ["resnet18", "resnet18_small"]) func checkpointingHalvesTheArena(model: String) throws {
    let network = try ModelZoo.network(
      model, input: FeatureShape(channels: 3, height: 64, width: 64), options: .init(classes: 8)
    ).fused()
    func floats(_ checkpointing: ActivationCheckpointing) -> Int {
      Plan(
        network, images: 64, microbatches: 4, mode: .training, checkpointing: checkpointing,
        kernels: .detected
      ).arenaCount
    }
    #expect(Double(floats(.blocks)) < 0.55 * Double(floats(.none)))
  }
}
