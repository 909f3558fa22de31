import Layers
import Tensors

/// What the layers of a network make of its weights before a step (packed, transformed), once for all
/// lanes of a rank, which read it only.
package final class PreparedWeights: Sendable {
  private let network: Network
  private let values: FloatBuffer
  private let kernels: InstructionSet
  private let memory: FloatBuffer
  /// Where each node's part begins.
  private let offsets: [Int]
  private let counts: [Int]

  /// - Parameter values: the flat parameters, of which `prepare` makes what they hold then.
  package init(_ network: Network, values: FloatBuffer, kernels: InstructionSet) {
    self.network = network
    self.values = values
    self.kernels = kernels
    var (end, offsets, counts) = (0, [Int](), [Int]())
    for node in network.nodes {
      let count = node.layer.memory(for: node.inputShapes, images: 1, kernels: kernels).prepared
      offsets.append(end)
      counts.append(count)
      end += (count + 15) / 16 * 16
    }
    (self.offsets, self.counts) = (offsets, counts)
    memory = FloatBuffer(count: end)
  }

  /// Floats in all.
  package var count: Int { memory.count }

  package func pointer(of node: Int) -> UnsafePointer<Float> { UnsafePointer(memory.pointer + offsets[node]) }

  /// Makes ready one part of `parts`, nearly equal in floats; who makes which changes no bit. Nobody may
  /// read until all parts are made.
  package func prepare(part: Int, of parts: Int) {
    let share = (memory.count + parts - 1) / parts
    for (index, node) in network.nodes.enumerated()
    where counts[index] > 0 && (offsets[index] + counts[index] / 2) / share == part {
      node.layer.prepare(
        memory.pointer + offsets[index],
        parameters: node.parameters.map { UnsafePointer(values.pointer + $0.offset) },
        inputs: node.inputShapes, kernels: kernels)
    }
  }
}
