import CKernels
import Tensors

/// Rounds the nodes of one step's reduction tree to bf16, leaves and sums alike, by stochastic rounding.
///
/// The random numbers are addressed by (seed, step, node, place in the flat buffer), and every node is
/// rounded whether it crosses a wire or not. So the bits are the same on any number of ranks and lanes,
/// messages take half the bytes, and there is no state of errors to carry.
package struct NodeRounding: Sendable {
  private let seed: UInt64
  private let step: Int
  private let kernels: cnn_rounding_kernels

  package init(seed: UInt64, step: Int, kernels: InstructionSet) {
    (self.seed, self.step) = (seed, step)
    self.kernels = cnn_rounding_kernels_for(kernels.kernelTable).pointee
  }

  /// The most microbatches of a step: a node's borders share a word of the address.
  package static let mostMicrobatches = 1 << 15

  private func stream(_ node: Range<Int>) -> cnn_philox_stream {
    RandomStream(
      seed: seed, purpose: .reduction, epoch: step, position: node.lowerBound << 16 | node.upperBound
    ).philox
  }

  /// `floats` is the part of `node` that begins at `place` of the flat buffer, a multiple of 16.
  package func round(
    _ floats: UnsafeMutablePointer<Float>?, count: Int, node: Range<Int>, place: Int
  ) {
    var stream = stream(node)
    kernels.round(floats, count, &stream, place)
  }

  /// sum += term; the sum is the part of `node` that begins at `place`.
  package func add(
    _ sum: UnsafeMutablePointer<Float>?, _ term: UnsafePointer<Float>?, count: Int, node: Range<Int>,
    place: Int
  ) {
    var stream = stream(node)
    kernels.add(sum, term, count, &stream, place)
  }
}
