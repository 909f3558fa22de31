import Layers
import Models
import Tensors

/// A trained network whose class scores another one learns. It runs as inference does, batch norms folded and nothing
/// dropped, on the same images as its student, microbatch by microbatch, so its scores have the same bits whoever
/// computes them. Its weights, and what is made of them, stand once in a rank.
package struct Teacher: Sendable {
  package let distillation: Distillation
  package let network: Network
  private let values: FloatBuffer
  private let prepared: PreparedWeights
  private let kernels: InstructionSet

  /// - Parameters:
  ///   - trained: the network as it was trained, not fused.
  ///   - values: those of its layout.
  package init(_ trained: Network, values: FloatBuffer, distillation: Distillation, kernels: InstructionSet) {
    let folded = FoldedNetwork(trained)
    self.distillation = distillation
    network = folded.network
    self.values = folded.values(from: values)
    self.kernels = kernels
    prepared = PreparedWeights(network, values: self.values, mode: .inference, kernels: kernels)
    prepared.prepare(part: 0, of: 1)
  }

  /// For one lane and microbatches of at most `images`.
  fileprivate func pass(images: Int) -> WaveInFlight {
    WaveInFlight(plan(images: images), values: values, prepared: prepared)
  }

  private func plan(images: Int) -> Plan {
    Plan(network, images: images, mode: .inference, kernels: kernels)
  }

  /// Floats of its weights and of what `lanes` lanes compute in.
  func count(images: Int, lanes: Int) -> Int {
    let plan = plan(images: images)
    return values.count + prepared.count + lanes * (plan.arenaCount + plan.scratchCount)
  }
}

/// A lane's way to ask the teacher.
final class LaneTeacher {
  let distillation: Distillation
  private let pass: WaveInFlight

  init(_ teacher: Teacher, images: Int) {
    distillation = teacher.distillation
    pass = teacher.pass(images: images)
  }

  /// The teacher's class scores of a microbatch, in `WaveInFlight.logits` until the next is asked for. `poll` is called
  /// between two operators.
  func look(at microbatch: LoadedMicrobatch, poll: () -> Void) -> WaveInFlight {
    pass.load(count: 1) { _ in microbatch.part }
    for node in pass.plan.network.nodes.indices {
      pass.forward(node: node)
      poll()
    }
    return pass
  }
}
