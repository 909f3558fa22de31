import Layers
import Models
import Tensors

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
    kernels: InstructionSet = .detected, pause: (@Sendable () -> Void)? = nil
  ) -> Result {
    let images = microbatches.reduce(0, +)
    let plan = Plan(
      network, images: room ?? images, microbatches: room ?? microbatches.count, mode: mode,
      checkpointing: segments, kernels: kernels)
    let prepared = PreparedWeights(network, values: values, mode: .training, kernels: kernels)
    for part in 0..<3 { prepared.prepare(part: part, of: 3) }
    let pass = WaveInFlight(plan, values: values, prepared: prepared)
    pass.pause = pause
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
