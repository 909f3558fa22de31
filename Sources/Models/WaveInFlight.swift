import CKernels
import Layers
import Tensors

/// The images of one microbatch, planar (C, N, H, W), which stay where they are until its backward pass
/// is over.
package struct WavePart {
  package let pixels: UnsafePointer<Float>
  package let images: Int
  package let place: BatchPlace

  package init(pixels: UnsafePointer<Float>, images: Int, place: BatchPlace) {
    self.pixels = pixels
    self.images = images
    self.place = place
  }
}

/// The microbatches that a lane advances together, on their way through a plan: its arena, and the calls
/// of every operator, made once with all their pointers. Belongs to one lane.
package final class WaveInFlight {
  package let plan: Plan
  private let arena: FloatBuffer
  /// Kept alive for the pointers into them.
  private let shared: [FloatBuffer]
  private let prepared: PreparedWeights
  private var forwardPasses: [ForwardPass] = []
  /// Of `plan.repeated`.
  private var repeatedPasses: [ForwardPass] = []
  private var backwardPasses: [BackwardPass] = []
  private let add: @convention(c) (UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, Int) -> Void

  /// How many images it holds now, at most `plan.images`.
  package private(set) var images = 0

  /// Who knows the other microbatches of the step; nil where no layer asks.
  package var pooling: (any BatchPooling)? {
    didSet {
      for node in forwardPasses.indices { forwardPasses[node].pooling = pooling }
      for node in backwardPasses.indices { backwardPasses[node].pooling = pooling }
    }
  }

  /// What operators call between two microbatches (`Wave.pause`).
  package var pause: (@Sendable () -> Void)? {
    didSet {
      for node in forwardPasses.indices { forwardPasses[node].wave.pause = pause }
      for number in repeatedPasses.indices { repeatedPasses[number].wave.pause = pause }
      for node in backwardPasses.indices { backwardPasses[node].wave.pause = pause }
    }
  }

  /// - Parameters:
  ///   - values: the flat parameters and running statistics, read only.
  ///   - prepared: what was made of them.
  package init(_ plan: Plan, values: FloatBuffer, prepared: PreparedWeights) {
    self.plan = plan
    let arena = FloatBuffer(count: plan.arenaCount)
    let scratch = FloatBuffer(count: plan.scratchCount)
    self.arena = arena
    self.prepared = prepared
    shared = [values, scratch]
    add = cnn_reduction_kernels_for(plan.kernels.kernelTable).pointee.add
    let nothing = Wave(microbatches: [0..<0], places: [BatchPlace(seed: 0, epoch: 0, firstPosition: 0)])
    let nowhere = UnsafePointer(arena.pointer)
    func sources(of node: Network.Node, _ outputs: [Int]) -> [UnsafePointer<Float>] {
      node.inputs.map { source in
        guard case .node(let source) = source else { return nowhere }
        return UnsafePointer(arena.pointer + outputs[source])
      }
    }
    func forwardPass(_ index: Int, _ outputs: [Int], isRepeated: Bool) -> ForwardPass {
      let node = plan.network.nodes[index]
      return ForwardPass(
        wave: nothing, mode: node.mode(in: plan.mode), kernels: plan.kernels, inputShapes: node.inputShapes,
        outputShape: node.shape, inputs: sources(of: node, outputs),
        inputIsPlanar: plan.network.readsPlanarImages(node, position: 0),
        output: arena.pointer + outputs[index],
        parameters: node.parameters.map { UnsafePointer(values.pointer + $0.offset) },
        statistics: node.statistics.map { UnsafePointer(values.pointer + $0.offset) },
        prepared: prepared.pointer(of: index), saved: arena.pointer + plan.saved[index],
        scratch: scratch.pointer, isRepeated: isRepeated)
    }
    forwardPasses = plan.network.nodes.indices.map { forwardPass($0, plan.outputs, isRepeated: false) }
    repeatedPasses = plan.repeated.map { forwardPass($0, plan.lateOutputs, isRepeated: true) }
    guard plan.mode == .training else { return }
    for (index, node) in plan.network.nodes.enumerated() {
      let targets = plan.gradientTargets[index].map { target -> UnsafeMutablePointer<Float>? in
        switch target {
        case .none: nil
        case .direct(let offset), .summed(let offset), .added(let offset, _): arena.pointer + offset
        }
      }
      backwardPasses.append(
        BackwardPass(
          wave: nothing, kernels: plan.kernels, inputShapes: node.inputShapes, outputShape: node.shape,
          inputs: sources(of: node, plan.lateOutputs), inputIsPlanar: forwardPasses[index].inputIsPlanar,
          output: UnsafePointer(arena.pointer + plan.lateOutputs[index]),
          parameters: forwardPasses[index].parameters, prepared: prepared.pointer(of: index),
          outputGradient: UnsafePointer(arena.pointer + plan.gradients[index]), inputGradients: targets,
          saved: arena.pointer + plan.saved[index], scratch: scratch.pointer))
      backwardPasses[index].isFrozen = node.isFrozen
      if case .summed? = plan.gradientTargets[index].first {
        backwardPasses[index].addsToInputGradient = true
      }
      if let asked = plan.askedForGradient[index] {
        backwardPasses[index].partOfOutputGradient = partOfInputGradient(node: asked)
      }
    }
  }

  /// How a node gives parts of the gradient of its input.
  private func partOfInputGradient(node: Int) -> BackwardPass.GradientPart {
    guard let layer = plan.network.nodes[node].layer as? any InputGradientInParts else {
      preconditionFailure("\(plan.network.nodes[node].name) can't leave the gradient of its input")
    }
    return { [unowned self] microbatch, images, gradient in
      layer.writeInputGradient(
        backwardPasses[node], microbatch: microbatch, images: images, into: gradient)
    }
  }

  /// Takes in `count` microbatches.
  package func load(count: Int, _ microbatch: (Int) -> WavePart) {
    precondition(
      0 < count && count <= plan.microbatches,
      "a wave expects 1 ... \(plan.microbatches) microbatches, got \(count)")
    images = (0..<count).reduce(0) { $0 + microbatch($1).images }
    precondition(images <= plan.images, "a wave expects at most \(plan.images) images, got \(images)")
    let planar = gather(count: count, microbatch)
    block(planar)
    for index in forwardPasses.indices { forwardPasses[index].wave.fill(count, microbatch) }
    for index in repeatedPasses.indices { repeatedPasses[index].wave.fill(count, microbatch) }
    for index in backwardPasses.indices { backwardPasses[index].wave.fill(count, microbatch) }
    for (index, node) in plan.network.nodes.enumerated() {
      for position in node.inputs.indices where node.inputs[position] == .image {
        guard let pointer = pointer(for: node, position, planar) else { continue }
        forwardPasses[index].inputs[position] = pointer
        if plan.mode == .training { backwardPasses[index].inputs[position] = pointer }
      }
    }
    for (number, index) in plan.repeated.enumerated() {
      let node = plan.network.nodes[index]
      for position in node.inputs.indices where node.inputs[position] == .image {
        repeatedPasses[number].inputs[position] = forwardPasses[index].inputs[position]
      }
    }
  }

  package func load(_ microbatches: [WavePart]) {
    load(count: microbatches.count) { microbatches[$0] }
  }

  /// The images of the wave, planar: those of one microbatch where they are, several side by side.
  private func gather(count: Int, _ microbatch: (Int) -> WavePart) -> UnsafePointer<Float> {
    guard count > 1, let offset = plan.planarImages else { return microbatch(0).pixels }
    let area = plan.network.input.area
    var first = 0
    for number in 0..<count {
      let part = microbatch(number)
      for channel in 0..<plan.network.input.channels {
        (arena.pointer + offset + (channel * images + first) * area)
          .update(from: part.pixels + channel * part.images * area, count: part.images * area)
      }
      first += part.images
    }
    return UnsafePointer(arena.pointer + offset)
  }

  private func block(_ planar: UnsafePointer<Float>) {
    guard let offset = plan.blockedImages else { return }
    BlockedLayout.block(
      planar, plan.network.input, n: images, images: 0..<images, into: arena.pointer + offset,
      kernels: plan.kernels)
  }

  private func pointer(
    for node: Network.Node, _ position: Int, _ planar: UnsafePointer<Float>
  ) -> UnsafePointer<Float>? {
    if plan.network.readsPlanarImages(node, position: position) { return planar }
    return plan.blockedImages.map { UnsafePointer(arena.pointer + $0) }
  }

  /// Forward of one node.
  package func forward(node: Int) { plan.network.nodes[node].layer.forward(forwardPasses[node]) }

  /// Forward once more of `plan.repeated[number]`, in backward.
  package func forwardAgain(_ number: Int) {
    plan.network.nodes[plan.repeated[number]].layer.forward(repeatedPasses[number])
  }

  /// After its forward in training: the statistics of one microbatch that a node gives. Overwrites.
  package func batchStatistics(node: Int, microbatch: Int, into statistics: [UnsafeMutablePointer<Float>]) {
    plan.network.nodes[node].layer
      .batchStatistics(forwardPasses[node], microbatch: microbatch, into: statistics)
  }

  /// The gradients of one microbatch of a node's parameters. Overwrites.
  package func backwardParameters(node: Int, microbatch: Int, into gradients: [UnsafeMutablePointer<Float>]) {
    plan.network.nodes[node].layer
      .backwardParameters(backwardPasses[node], microbatch: microbatch, gradients: gradients)
  }

  /// Those of several, added up; false where the node can't do that in one pass, and nothing is done. Nor where
  /// operators are to pause between microbatches.
  package func sumParameterGradients(
    node: Int, microbatches: Range<Int>, into sums: [UnsafeMutablePointer<Float>]
  ) -> Bool {
    pause == nil
      && plan.network.nodes[node].layer
        .sumParameterGradients(backwardPasses[node], microbatches: microbatches, into: sums)
  }

  /// The gradients of a node's inputs, once those of its parameters are done.
  package func backwardData(node: Int) {
    plan.network.nodes[node].layer.backwardData(backwardPasses[node])
    for (target, shape) in zip(plan.gradientTargets[node], plan.network.nodes[node].inputShapes) {
      guard case .added(let offset, let sum) = target else { continue }
      add(arena.pointer + sum, arena.pointer + offset, shape.blockedCount * images)
    }
  }

  /// The images of a microbatch.
  package func images(of microbatch: Int) -> Int { forwardPasses[0].wave.microbatches[microbatch].count }

  /// The loss of one microbatch, and the gradient of its class scores.
  package func computeLoss(
    _ loss: SoftmaxCrossEntropy, microbatch: Int, labels: [Int32], denominator: Float
  ) -> SoftmaxCrossEntropy.Sums {
    loss.forwardBackward(
      logits: logits, n: images, images: forwardPasses[0].wave.microbatches[microbatch], labels: labels,
      denominator: denominator, dLogits: logitsGradient, kernels: plan.kernels)
  }

  /// Behind `computeLoss`: how far the class scores of one microbatch are from those of a teacher, which holds the same
  /// images alone, and the gradient of that, on top of the loss's (`Distillation`). `batch` images are in the step.
  package func learn(
    _ distillation: Distillation, microbatch: Int, from teacher: WaveInFlight, batch: Int
  ) -> Double {
    distillation.forwardBackward(
      .init(logits: logits, n: images, images: forwardPasses[0].wave.microbatches[microbatch]),
      .init(logits: teacher.logits, n: teacher.images, images: 0..<teacher.images),
      classes: plan.network.classes, batch: batch, dLogits: logitsGradient, kernels: plan.kernels)
  }

  /// The class scores of all images, (K/16, N, 16).
  package var logits: UnsafePointer<Float> { UnsafePointer(output(of: plan.network.nodes.count - 1)) }

  /// Where the loss writes the gradient of the class scores, (K/16, N, 16).
  package var logitsGradient: UnsafeMutablePointer<Float> {
    arena.pointer + plan.gradients[plan.network.nodes.count - 1]
  }

  /// The output of a node: (C/16, N, H, W, 16), until a later operator needs the memory.
  package func output(of node: Int) -> UnsafeMutablePointer<Float> { arena.pointer + plan.outputs[node] }

  /// Whether the output of a node is finite for every image, as far as channels exist.
  package func isFinite(node: Int) -> Bool {
    let shape = plan.network.nodes[node].shape
    let output = output(of: node)
    let block = images * shape.area * 16
    return (0..<shape.channels).allSatisfy { channel in
      stride(from: channel / 16 * block + channel % 16, to: (channel / 16 + 1) * block, by: 16)
        .allSatisfy { output[$0].isFinite }
    }
  }
}

extension Wave {
  /// Takes in other microbatches, in the memory that it has.
  fileprivate mutating func fill(_ count: Int, _ microbatch: (Int) -> WavePart) {
    microbatches.removeAll(keepingCapacity: true)
    places.removeAll(keepingCapacity: true)
    var first = 0
    for number in 0..<count {
      let part = microbatch(number)
      microbatches.append(first..<(first + part.images))
      places.append(part.place)
      first += part.images
    }
  }
}
