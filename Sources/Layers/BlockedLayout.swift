import CKernels
import Tensors

extension cnn_blocked {
  /// `images` of the `n` in memory.
  package init(_ shape: FeatureShape, n: Int, images: Range<Int>) {
    precondition(
      images.lowerBound >= 0 && images.upperBound <= n, "\(n) images in memory don't include \(images)")
    self.init(
      channels: shape.channels, n: n, area: shape.area, first: images.lowerBound, images: images.count)
  }

  /// All images of a wave.
  init(_ shape: FeatureShape, _ wave: borrowing Wave) {
    self.init(shape, n: wave.images, images: 0..<wave.images)
  }

  /// Those of one microbatch.
  init(_ shape: FeatureShape, _ wave: borrowing Wave, microbatch: Int) {
    self.init(shape, n: wave.images, images: wave.microbatches[microbatch])
  }
}

/// Between the planar order of the network's images, (C, N, H, W), and the blocked one of everything behind
/// them, (C/16, N, H, W, 16). N is the same on both sides; only `images` are touched.
package enum BlockedLayout {
  /// Overwrites `images` of `y`, lanes of channels that don't exist by zeros.
  package static func block(
    _ x: UnsafePointer<Float>, _ shape: FeatureShape, n: Int, images: Range<Int>,
    into y: UnsafeMutablePointer<Float>, kernels: InstructionSet
  ) {
    var shape = cnn_blocked(shape, n: n, images: images)
    cnn_transpose_kernels_for(kernels.kernelTable).pointee.block(y, x, &shape)
  }

  /// Overwrites `images` of `x`.
  package static func unblock(
    _ y: UnsafePointer<Float>, _ shape: FeatureShape, n: Int, images: Range<Int>,
    into x: UnsafeMutablePointer<Float>, kernels: InstructionSet
  ) {
    var shape = cnn_blocked(shape, n: n, images: images)
    cnn_transpose_kernels_for(kernels.kernelTable).pointee.unblock(x, y, &shape)
  }
}

/// The gradient of a bias, for layers that have one.
enum BiasGradient {
  /// `dBias[c]` = Σ dy over the pixels of `images` of the n in memory. Overwrites `dBias`, channels rounded up to 16.
  static func compute(
    _ dBias: UnsafeMutablePointer<Float>, from dy: UnsafePointer<Float>, _ output: FeatureShape, n: Int,
    images: Range<Int>, kernels: InstructionSet
  ) {
    var shape = cnn_blocked(output, n: n, images: images)
    cnn_bias_kernels_for(kernels.kernelTable).pointee.gradient(dBias, dy, &shape)
  }

  /// A part of that sum, of as many images as `dy` holds, on top of those before it, which `sums` knows (as many
  /// doubles as `dBias` has floats).
  static func go(
    on sums: UnsafeMutablePointer<Float>, isFirst: Bool, _ dBias: UnsafeMutablePointer<Float>,
    from dy: UnsafePointer<Float>, _ output: FeatureShape, images: Int, kernels: InstructionSet
  ) {
    var shape = cnn_blocked(output, n: images, images: 0..<images)
    let count = 16 * output.blocks
    let sums = UnsafeMutableRawPointer(sums).bindMemory(to: Double.self, capacity: count)
    cnn_bias_kernels_for(kernels.kernelTable).pointee.gradient_of_part(dBias, sums, dy, &shape, !isFirst)
  }
}
