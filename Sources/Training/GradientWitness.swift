import Models
import Tensors

/// What a lane saw of the gradients of one microbatch: a hash of each array, by node. Written by the one
/// lane that computes the microbatch.
final class GradientWitness: @unchecked Sendable {
  /// Changes the gradients of an array, by its name.
  typealias Fault = @Sendable (String, UnsafeMutableBufferPointer<Float>) -> Void

  let microbatch: Int
  /// By node and array, in the order of the network; empty for nodes that weren't seen.
  private(set) var hashes: [[UInt64]]
  private let network: Network
  /// A test's hand in the gradients before they are hashed.
  private let fault: Fault?

  init(microbatch: Int, network: Network, fault: Fault? = nil) {
    self.microbatch = microbatch
    self.network = network
    self.fault = fault
    hashes = Array(repeating: [], count: network.nodes.count)
  }

  /// Takes in the gradients of a node's parameters, which lie as in the flat buffer.
  func see(microbatch number: Int, node index: Int, gradients: UnsafeMutableBufferPointer<Float>) {
    guard number == microbatch else { return }
    let node = network.nodes[index]
    hashes[index] = node.parameters.map { entry in
      let first = entry.offset - node.parameterRange.lowerBound
      let part = UnsafeMutableBufferPointer(rebasing: gradients[first..<(first + entry.range.count)])
      fault?(entry.name, part)
      return FastHash.of(UnsafeRawBufferPointer(part))
    }
  }

  /// The first array, in the order of the backward pass, whose gradients another witness saw otherwise.
  func firstDifference(from other: [[UInt64]]) -> String? {
    for index in network.nodes.indices.reversed() where hashes[index] != other[index] {
      let differing = zip(network.nodes[index].parameters, zip(hashes[index], other[index]))
      return differing.first { $0.1.0 != $0.1.1 }?.0.name ?? network.nodes[index].name
    }
    return nil
  }
}
