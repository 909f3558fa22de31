import Layers
import Models
import Tensors

/// The lanes of a rank at inference: batch norm by its running statistics, no dropout, nothing saved.
package final class Inference: @unchecked Sendable {
  package let network: Network
  package let team: ThreadTeam
  private let kernels: InstructionSet
  private let prepared: PreparedWeights
  private let lanes: [WaveInFlight]
  /// The node whose output the last one reads; nil where that is the images, or where the last one overwrites it.
  private let featureNode: Int?

  /// - Parameters:
  ///   - values: parameters and running statistics, as the network's flat layout places them.
  ///   - prepared: where layers make the values ready; nil for memory of its own.
  ///   - images: the most images of a microbatch.
  package init(
    _ network: Network, values: FloatBuffer, prepared: PreparedWeights? = nil, images: Int, team: ThreadTeam,
    kernels: InstructionSet
  ) {
    self.network = network
    self.team = team
    self.kernels = kernels
    let plan = Plan(network, images: images, mode: .inference, kernels: kernels)
    let prepared = prepared ?? PreparedWeights(network, values: values, mode: .inference, kernels: kernels)
    self.prepared = prepared
    lanes = (0..<team.count).map { _ in WaveInFlight(plan, values: values, prepared: prepared) }
    if case .node(let source)? = network.nodes.last?.inputs.first,
      plan.outputs[source] != plan.outputs[network.nodes.count - 1]
    {
      featureNode = source
    } else {
      featureNode = nil
    }
  }

  /// Makes the values ready. To be called whenever they may have changed, before `probabilities`.
  package func prepare() {
    team.run { [prepared, team] lane in prepared.prepare(part: lane, of: team.count) }
  }

  /// The class probabilities of each microbatch, (N, K) row by row; the lanes share the microbatches.
  package func probabilities(of batch: [LoadedMicrobatch]) -> [FloatBuffer] {
    let rows = batch.map { FloatBuffer(count: $0.images * network.classes) }
    team.run { [self] lane in
      for index in stride(from: lane, to: batch.count, by: team.count) {
        predict(batch[index], on: lane, into: rows[index].pointer)
      }
    }
    return rows
  }

  /// The class probabilities of one microbatch, (N, K) row by row, on the thread of `lane`.
  package func predict(
    _ microbatch: LoadedMicrobatch, on lane: Int, into rows: UnsafeMutablePointer<Float>
  ) {
    let pass = lanes[lane]
    pass.load([microbatch.part])
    for node in network.nodes.indices { pass.forward(node: node) }
    SoftmaxCrossEntropy.probabilities(
      logits: pass.logits, classes: network.classes, n: pass.images, images: 0..<pass.images, into: rows,
      kernels: kernels)
  }

  /// The length of the vector that the last layer reads; nil where there is none to be had.
  package var featureCount: Int? { featureNode.map { network.nodes[$0].shape.count } }

  /// What the last layer has read of the microbatch that `lane` predicted last, (N, F) row by row; (C, H, W) in
  /// this order where it is no vector.
  package func features(on lane: Int, into rows: UnsafeMutablePointer<Float>) {
    guard let featureNode else { preconditionFailure("the network has no layer before its last") }
    copyOutput(of: featureNode, on: lane, into: rows)
  }

  /// What a node gives for each microbatch, (N, C · H · W) row by row; the lanes share the microbatches. Nodes behind
  /// it don't run.
  package func outputs(of node: Int, for batch: [LoadedMicrobatch]) -> [FloatBuffer] {
    let rows = batch.map { FloatBuffer(count: $0.images * network.nodes[node].shape.count) }
    team.run { [self] lane in
      for index in stride(from: lane, to: batch.count, by: team.count) {
        lanes[lane].load([batch[index].part])
        for number in 0...node { lanes[lane].forward(node: number) }
        copyOutput(of: node, on: lane, into: rows[index].pointer)
      }
    }
    return rows
  }

  private func copyOutput(of node: Int, on lane: Int, into rows: UnsafeMutablePointer<Float>) {
    let (pass, shape) = (lanes[lane], network.nodes[node].shape)
    let planar = FloatBuffer(count: pass.images * shape.count)
    BlockedLayout.unblock(
      pass.output(of: node), shape, n: pass.images, images: 0..<pass.images, into: planar.pointer,
      kernels: kernels)
    for channel in 0..<shape.channels {
      for image in 0..<pass.images {
        (rows + image * shape.count + channel * shape.area)
          .update(from: planar.pointer + (channel * pass.images + image) * shape.area, count: shape.area)
      }
    }
  }
}
