import CKernels
import Layers
import Tensors

/// One microbatch on its way through a plan: its arena, and the calls of every operator on it, made
/// once with all their pointers. Belongs to one lane.
package final class MicrobatchInFlight {
  package let plan: Plan
  private let arena: FloatBuffer
  /// Kept alive for the pointers into them.
  private let shared: [FloatBuffer]
  private var forwardPasses: [ForwardPass] = []
  private var backwardPasses: [BackwardPass] = []
  private let add: @convention(c) (UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, Int) -> Void

  /// How many images it holds now, at most `plan.images`.
  package private(set) var images = 0

  /// - Parameters:
  ///   - values: the flat parameters and running statistics, read only.
  ///   - scratch: the lane's scratch, `plan.scratchCount` floats.
  package init(_ plan: Plan, values: FloatBuffer, scratch: FloatBuffer, kernels: InstructionSet) {
    precondition(
      scratch.count >= plan.scratchCount, "scratch expects \(plan.scratchCount) floats, got \(scratch.count)")
    self.plan = plan
    let arena = FloatBuffer(count: plan.arenaCount)
    self.arena = arena
    shared = [values, scratch]
    add = cnn_reduction_kernels_for(kernels.kernelTable).pointee.add
    let place = BatchPlace(seed: 0, epoch: 0, firstPosition: 0)
    let nowhere = UnsafePointer(arena.pointer)
    for (index, node) in plan.network.nodes.enumerated() {
      let inputs = node.inputs.map { source -> UnsafePointer<Float> in
        guard case .node(let source) = source else { return nowhere }
        return UnsafePointer(arena.pointer + plan.outputs[source])
      }
      let parameters = node.parameters.map { UnsafePointer(values.pointer + $0.offset) }
      forwardPasses.append(
        ForwardPass(
          images: 0, mode: plan.mode, place: place, kernels: kernels, inputShapes: node.inputShapes,
          outputShape: node.shape, inputs: inputs, output: arena.pointer + plan.outputs[index],
          parameters: parameters,
          statistics: node.statistics.map { UnsafePointer(values.pointer + $0.offset) },
          batchStatistics: [], saved: arena.pointer + plan.saved[index], scratch: scratch.pointer))
      guard plan.mode == .training else { continue }
      let targets = plan.gradientTargets[index].map { target -> UnsafeMutablePointer<Float>? in
        switch target {
        case .none: nil
        case .direct(let offset), .added(let offset, _): arena.pointer + offset
        }
      }
      backwardPasses.append(
        BackwardPass(
          images: 0, place: place, kernels: kernels, inputShapes: node.inputShapes, outputShape: node.shape,
          inputs: inputs, output: UnsafePointer(arena.pointer + plan.outputs[index]), parameters: parameters,
          outputGradient: UnsafePointer(arena.pointer + plan.gradients[index]), inputGradients: targets,
          parameterGradients: [], saved: UnsafePointer(arena.pointer + plan.saved[index]),
          scratch: scratch.pointer))
    }
  }

  /// Takes in the images of a microbatch, (C, N, H, W), which must stay where they are until its
  /// backward pass is over.
  package func load(_ pixels: UnsafePointer<Float>, images: Int, place: BatchPlace) {
    precondition(
      images > 0 && images <= plan.images, "a microbatch expects 1 ... \(plan.images) images, got \(images)")
    self.images = images
    for (index, node) in plan.network.nodes.enumerated() {
      forwardPasses[index].images = images
      forwardPasses[index].place = place
      if plan.mode == .training {
        backwardPasses[index].images = images
        backwardPasses[index].place = place
      }
      for (position, source) in node.inputs.enumerated() where source == .image {
        forwardPasses[index].inputs[position] = pixels
        if plan.mode == .training { backwardPasses[index].inputs[position] = pixels }
      }
    }
  }

  /// Forward of one node. `batchStatistics`: where its microbatch statistics go (training).
  package func forward(node: Int, batchStatistics: [UnsafeMutablePointer<Float>] = []) {
    forwardPasses[node].batchStatistics = batchStatistics
    plan.network.nodes[node].layer.forward(forwardPasses[node])
  }

  /// Backward of one node. `parameterGradients`: where the gradients of its parameters go.
  package func backward(node: Int, parameterGradients: [UnsafeMutablePointer<Float>]) {
    backwardPasses[node].parameterGradients = parameterGradients
    plan.network.nodes[node].layer.backward(backwardPasses[node])
    for (target, shape) in zip(plan.gradientTargets[node], plan.network.nodes[node].inputShapes) {
      guard case .added(let offset, let sum) = target else { continue }
      add(arena.pointer + sum, arena.pointer + offset, shape.count * images)
    }
  }

  /// The class scores, (K, N).
  package var logits: UnsafePointer<Float> { UnsafePointer(output(of: plan.network.nodes.count - 1)) }

  /// Where the loss writes the gradient of the class scores, (K, N).
  package var logitsGradient: UnsafeMutablePointer<Float> {
    arena.pointer + plan.gradients[plan.network.nodes.count - 1]
  }

  /// The output of a node: (C, N, H, W), until a later operator needs the memory.
  package func output(of node: Int) -> UnsafeMutablePointer<Float> { arena.pointer + plan.outputs[node] }
}
