import Layers
import Models
import Tensors
import Testing

/// A small network with everything that makes memory planning hard: branches that meet again by sum and
/// by concatenation, operators in place, an input that is read twice.
private func branchingNetwork() throws -> Network {
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

/// Loss Σ r·logits and its gradients by the plan, for one microbatch.
private struct Run {
  let network: Network
  var values: FloatBuffer
  let images: Int
  let pixels: FloatBuffer
  let weights: [Float]

  init(_ network: Network, images: Int) {
    self.network = network
    self.images = images
    values = network.initialValues(seed: 3)
    pixels = FloatBuffer(count: images * network.input.count)
    let random = RandomStream(seed: 5, purpose: .test(2))
    for index in 0..<pixels.count { pixels[index] = random.normal(at: index) }
    weights = (0..<(images * network.classes)).map { random.normal(at: 100_000 + $0) }
  }

  func pass(mode: Mode, room: Int) -> MicrobatchInFlight {
    let plan = Plan(network, images: room, mode: mode)
    let pass = MicrobatchInFlight(
      plan, values: values, scratch: FloatBuffer(count: plan.scratchCount), kernels: .detected)
    pass.load(pixels.pointer, images: images, place: BatchPlace(seed: 1, epoch: 0, firstPosition: 0))
    return pass
  }

  /// The logits, and with `.training` the gradient of every parameter in the flat layout.
  func callAsFunction(mode: Mode, room: Int? = nil) -> (logits: [Float], gradients: [Float]) {
    let pass = pass(mode: mode, room: room ?? images)
    let statistics = FloatBuffer(count: network.layout.extent)
    let gradients = FloatBuffer(count: network.layout.extent)
    for (index, node) in network.nodes.enumerated() {
      pass.forward(node: index, batchStatistics: node.statistics.map { statistics.pointer + $0.offset })
    }
    let logits = Array(UnsafeBufferPointer(start: pass.logits, count: weights.count))
    guard mode == .training else { return (logits, []) }
    pass.logitsGradient.update(from: weights, count: weights.count)
    for (index, node) in network.nodes.enumerated().reversed() {
      pass.backward(node: index, parameterGradients: node.parameters.map { gradients.pointer + $0.offset })
    }
    return (logits, gradients.values)
  }

  func loss() -> Double {
    zip(self(mode: .training).logits, weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
}

struct PlanTests {
  @Test func gradientsOfABranchingNetworkMatchCentralDifferences() throws {
    let run = Run(try branchingNetwork(), images: 3)
    let gradients = run(mode: .training).gradients
    for entry in run.network.layout.parameters {
      let largest = entry.range.map { abs(gradients[$0]) }.max() ?? 0
      // A bias before a batch norm moves nothing.
      let scale = entry.name == "stem.bias" || entry.name == "a.bias" ? 1 : Double(largest)
      for position in stride(from: entry.range.lowerBound, to: entry.range.upperBound, by: 7) {
        let value = run.values[position]
        let step: Float = 4e-3
        run.values[position] = value + step
        let above = run.loss()
        run.values[position] = value - step
        let below = run.loss()
        run.values[position] = value
        let numeric = (above - below) / Double(2 * step)
        // Kinks of the ReLUs limit the agreement of a whole network.
        #expect(
          abs(numeric - Double(gradients[position])) / scale < 2e-2,
          "\(entry.name)[\(position - entry.offset)]")
      }
    }
  }

  @Test func fusionChangesNoBitOfLogitsAndGradients() throws {
    let network = try branchingNetwork()
    let fused = network.fused()
    #expect(fused.nodes.count == network.nodes.count - 2)
    let (a, b) = (Run(network, images: 3)(mode: .training), Run(fused, images: 3)(mode: .training))
    #expect(a.logits == b.logits)
    #expect(a.gradients == b.gradients)
    #expect(
      Run(network, images: 3)(mode: .inference).logits == Run(fused, images: 3)(mode: .inference).logits)
  }

  @Test func aPlanWithRoomForMoreImagesGivesTheSameBits() throws {
    let run = Run(try branchingNetwork().fused(), images: 3)
    let (a, b) = (run(mode: .training), run(mode: .training, room: 8))
    #expect(a.logits == b.logits)
    #expect(a.gradients == b.gradients)
  }

  @Test func inferenceNeedsLessMemoryThanTraining() throws {
    let network = try ModelZoo.network(
      "resnet18", input: FeatureShape(channels: 3, height: 64, width: 64), options: .init(classes: 8)
    ).fused()
    let training = Plan(network, images: 16, mode: .training)
    let inference = Plan(network, images: 16, mode: .inference)
    #expect(inference.arenaCount * 3 < training.arenaCount)
  }
}
