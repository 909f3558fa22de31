import Layers
import Models
import Tensors
import Testing

/// A small network with everything that makes memory planning hard: branches that meet again by sum and
/// by concatenation, operators in place, an input that is read twice.
func branchingNetwork() throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 2, height: 6, width: 6))
  try network.add("stem", Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(1)))
  try network.add("norm", BatchNorm2d())
  let trunk = try network.add("relu", ReLU())
  try network.add("a", Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(1)))
  let left = try network.add("a_norm", BatchNorm2d())
  let right = try network.add("b", Conv2d(outputChannels: 4, kernel: 1), from: trunk)
  let sum = try network.add("sum", Add(), from: left, right)
  let gated = try network.add("sum_relu", ReLU(), from: sum)
  let pooled = try network.add("pool", AvgPool2d(kernel: 2), from: trunk)
  let strided = try network.add("c", Conv2d(outputChannels: 3, kernel: 2, stride: 2), from: gated)
  let joined = try network.add("join", Concat(), from: pooled, strided)
  let twice = try network.add("twice", Add(), from: joined, joined)
  try network.add("flatten", Flatten(), from: twice)
  try network.add("fc", Linear(outputFeatures: 5))
  return try network.build()
}

/// Channels and sizes for which other algorithms are chosen: Winograd's of all tile sizes, 1×1, depthwise.
func winogradNetwork() throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 3, height: 14, width: 14))
  try network.add("stem", Conv2d(outputChannels: 20, kernel: 3, padding: .explicit(1)))
  try network.add("f5", Conv2d(outputChannels: 17, kernel: 3, padding: .explicit(1), bias: false))
  try network.add("norm", BatchNorm2d())
  try network.add("relu", ReLU())
  try network.add(
    "depthwise", Conv2d(outputChannels: 17, kernel: 3, stride: 2, padding: .explicit(1), groups: 17))
  try network.add("pointwise", Conv2d(outputChannels: 33, kernel: 1))
  try network.add("f4", Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1)))
  try network.add("pool", MaxPool2d(kernel: 3))
  try network.add("f2", Conv2d(outputChannels: 32, kernel: 3, padding: .explicit(1)))
  try network.add("flatten", Flatten())
  try network.add("fc", Linear(outputFeatures: 37))
  return try network.build()
}

/// Joins that begin with what they read, one after another as a dense block's: others read it too, before and after,
/// and two joins begin with the same.
private func growingNetwork(_ join: any Layer = Concat()) throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 2, height: 6, width: 6))
  try network.add("stem", Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1), bias: false))
  var trunk = try network.add("norm", BatchNorm2d())
  let first = trunk
  for number in 1...3 {
    try network.add("norm\(number)", BatchNorm2d(following: .relu), from: trunk)
    let grown = try network.add(
      "conv\(number)", Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1), bias: false))
    trunk = try network.add("join\(number)", join, from: trunk, grown)
  }
  let normed = try network.add("last_norm", BatchNorm2d(following: .silu), from: trunk)
  let narrow = try network.add("narrow", Conv2d(outputChannels: 20, kernel: 1, bias: false))
  let late = try network.add("late", Conv2d(outputChannels: 20, kernel: 1), from: first)
  let other = try network.add("other", join, from: first, late)
  let odd = try network.add("odd", join, from: narrow, late)
  let all = try network.add("all", join, from: normed, normed, other, odd)
  try network.add("pool", AdaptiveAvgPool2d(), from: all)
  try network.add("flatten", Flatten())
  try network.add("fc", Linear(outputFeatures: 5))
  return try network.build()
}

/// A join that copies all its inputs.
private struct CopyingConcat: Layer {
  var kind: String { "CopyingConcat" }
  var inputCount: Int? { nil }

  func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    try Concat().outputShape(of: inputs)
  }
  func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    MemoryNeeds()
  }
  func forward(_ pass: borrowing ForwardPass) { Concat().forward(pass) }
  func backwardData(_ pass: borrowing BackwardPass) { Concat().backwardData(pass) }
}

/// Gates, norms of one image, functions with and without their input kept, a branch that is dropped for some.
private func gatedNetwork() throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 2, height: 6, width: 6))
  try network.add("stem", Conv2d(outputChannels: 6, kernel: 3, padding: .explicit(1), bias: false))
  try network.add("norm", BatchNorm2d())
  let trunk = try network.add("silu", SiLU())
  try network.add("squeeze", AdaptiveAvgPool2d())
  try network.add("excite", Conv2d(outputChannels: 6, kernel: 1))
  let gates = try network.add("gates", Sigmoid())
  try network.add("gated", Multiply(), from: trunk, gates)
  try network.add("layer_norm", try LayerNorm())
  try network.add("wide", Conv2d(outputChannels: 18, kernel: 1))
  try network.add("gelu", GELU())
  try network.add("narrow", Conv2d(outputChannels: 6, kernel: 1, bias: false))
  try network.add("scale", try LayerScale(initialValue: 0.5))
  let branch = try network.add("drop", try StochasticDepth(probability: 0.4, number: 0))
  try network.add("sum", Add(), from: branch, trunk)
  try network.add("group_norm", try GroupNorm(groups: 3))
  try network.add("tanh", Tanh())
  try network.add("response", try LocalResponseNorm(size: 3, alpha: 0.5))
  try network.add("last", Conv2d(outputChannels: 6, kernel: 1, bias: false))
  let normed = try network.add("last_norm", BatchNorm2d())
  try network.add("last_sum", Add(), from: normed, trunk)
  try network.add("softmax", Softmax())
  try network.add("flatten", Flatten())
  try network.add("fc", Linear(outputFeatures: 5))
  return try network.build()
}

/// Loss Σ r·logits and its gradients by the plan, for one wave of microbatches.
struct PlanRun {
  let network: Network
  var values: FloatBuffer
  let firstImage: Int
  /// Images of each microbatch.
  let microbatches: [Int]
  /// (C, N, H, W) of each microbatch.
  let pixels: [FloatBuffer]
  /// r, (N, K).
  let weights: [Float]

  /// Images are numbered from `firstImage`, and equal for equal numbers.
  init(_ network: Network, microbatches: [Int], firstImage: Int = 0) {
    self.network = network
    self.microbatches = microbatches
    self.firstImage = firstImage
    values = network.initialValues(seed: 3)
    var first = firstImage
    var weights: [Float] = []
    pixels = microbatches.map { images in
      defer { first += images }
      let pixels = FloatBuffer(count: images * network.input.count)
      for image in 0..<images {
        let random = RandomStream(seed: 6, purpose: .test(2), position: first + image)
        for channel in 0..<network.input.channels {
          for place in 0..<network.input.area {
            pixels[(channel * images + image) * network.input.area + place] =
              random.normal(at: channel * network.input.area + place)
          }
        }
        weights += (0..<network.classes).map { random.normal(at: 100_000 + $0) }
      }
      return pixels
    }
    self.weights = weights
  }

  struct Result: Equatable {
    /// (N, K)
    var logits: [Float]
    /// By microbatch and array, in PyTorch's order.
    var gradients: [[String: [Float]]] = []
    var statistics: [[String: [Float]]] = []
  }

  func callAsFunction(
    mode: Mode, room: Int? = nil, segments: ActivationCheckpointing = .none,
    kernels: InstructionSet = .detected
  ) -> Result {
    let images = microbatches.reduce(0, +)
    let plan = Plan(
      network, images: room ?? images, microbatches: room ?? microbatches.count, mode: mode,
      checkpointing: segments, kernels: kernels)
    let prepared = PreparedWeights(network, values: values, mode: .training, kernels: kernels)
    for part in 0..<3 { prepared.prepare(part: part, of: 3) }
    let pass = WaveInFlight(plan, values: values, prepared: prepared)
    var first = firstImage
    pass.load(
      zip(microbatches, pixels).map { images, pixels in
        defer { first += images }
        return WavePart(
          pixels: pixels.pointer, images: images, place: BatchPlace(seed: 1, epoch: 0, firstPosition: first))
      })
    var result = Result(logits: [])
    let flat = microbatches.map { _ in FloatBuffer(count: network.layout.extent) }
    for (index, node) in network.nodes.enumerated() {
      pass.forward(node: index)
      guard mode == .training, !node.statisticsRange.isEmpty else { continue }
      for (number, flat) in flat.enumerated() {
        pass.batchStatistics(
          node: index, microbatch: number, into: node.statistics.map { flat.pointer + $0.offset })
      }
    }
    let classes = network.classes
    let places = (0..<(images * classes)).map {
      ($0 % classes / 16 * images + $0 / classes) * 16 + $0 % classes % 16
    }
    result.logits = places.map { pass.logits[$0] }
    guard mode == .training else { return result }
    pass.logitsGradient.update(repeating: 0, count: images * network.output.blockedCount)
    for (place, weight) in zip(places, weights) { pass.logitsGradient[place] = weight }
    for (index, node) in network.nodes.enumerated().reversed() {
      for number in plan.repeats[index] { pass.forwardAgain(number) }
      guard node.runsBackward else { continue }
      if node.isTrained {
        for (number, flat) in flat.enumerated() {
          pass.backwardParameters(
            node: index, microbatch: number, into: node.parameters.map { flat.pointer + $0.offset })
        }
      }
      pass.backwardData(node: index)
    }
    func arrays(_ entries: [FlatLayout.Entry]) -> [[String: [Float]]] {
      flat.map { flat in
        Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.array(in: flat.pointer)) })
      }
    }
    result.gradients = arrays(network.layout.parameters)
    result.statistics = arrays(network.layout.statistics)
    return result
  }

  func loss() -> Double {
    zip(self(mode: .training).logits, weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
}

/// max |a − b| / max |b|
private func distance(_ a: [Float], _ b: [Float]) -> Float {
  zip(a, b).map { abs($0 - $1) }.max().map { $0 / max(b.map(abs).max() ?? 0, .leastNormalMagnitude) } ?? 0
}

struct PlanTests {
  @Test func gradientsOfBranchingNetworksMatchCentralDifferences() throws {
    for network in [try branchingNetwork(), try gatedNetwork()].flatMap({ [$0, $0.fused()] }) {
      let run = PlanRun(network, microbatches: [3])
      let gradients = run(mode: .training).gradients[0]
      for entry in network.layout.parameters {
        let gradient = try #require(gradients[entry.name])
        // A bias before a batch norm moves nothing.
        let scale =
          entry.name == "stem.bias" || entry.name == "a.bias" ? 1 : Double(gradient.map(abs).max() ?? 0)
        var array = entry.array(in: run.values.pointer)
        for position in stride(from: 0, to: array.count, by: 7) {
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
