import CKernels
import Tensors

/// What one core can do at most, measured: the yardsticks that shares of peak refer to.
package struct MachinePeak: Sendable {
  /// Multiply-adds in registers, two operations each.
  package let gigaflops: Double
  /// The triad a = b + s · c of McCalpin's STREAM over arrays far larger than the caches, as the
  /// program sees it: 12 bytes an element.
  package let gigabytesPerSecond: Double

  /// Takes the best of several tries: what disturbs can only slow down.
  package static func measure(_ kernels: InstructionSet) -> MachinePeak {
    let table = cnn_peak_kernels_for(kernels.kernelTable).pointee
    let count = 1 << 24
    let (a, b, c) = (FloatBuffer(count: count), FloatBuffer(count: count), FloatBuffer(count: count))
    var flops = 0.0
    var bandwidth = 0.0
    for _ in 0..<10 {
      var start = monotonicSeconds()
      let operations = table.multiply_adds(30_000, a.pointer)
      flops = max(flops, operations / (monotonicSeconds() - start))
      start = monotonicSeconds()
      table.triad(a.pointer, b.pointer, c.pointer, 0.5, count)
      bandwidth = max(bandwidth, Double(12 * count) / (monotonicSeconds() - start))
    }
    return MachinePeak(gigaflops: flops * 1e-9, gigabytesPerSecond: bandwidth * 1e-9)
  }
}
