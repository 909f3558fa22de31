import Layers
import Models
import Tensors

/// The lanes of a rank at inference: batch norm by its running statistics, no dropout, nothing saved.
package final class Inference: @unchecked Sendable {
  package let network: Network
  private let team: ThreadTeam
  private let kernels: InstructionSet
  private let prepared: PreparedWeights
  private let lanes: [WaveInFlight]

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
        predict(batch[index], on: lanes[lane], into: rows[index])
      }
    }
    return rows
  }

  private func predict(_ microbatch: LoadedMicrobatch, on pass: WaveInFlight, into rows: FloatBuffer) {
    pass.load([microbatch.part])
    for node in network.nodes.indices { pass.forward(node: node) }
    SoftmaxCrossEntropy.probabilities(
      logits: pass.logits, classes: network.classes, n: pass.images, images: 0..<pass.images,
      into: rows.pointer,
      kernels: kernels)
  }
}
