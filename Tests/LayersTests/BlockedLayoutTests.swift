import CKernels
import Layers
import Tensors
import Testing

@Suite struct BlockedLayoutTests {
  static let shapes: [Shape] = [
    [1, 1, 1, 1], [3, 3, 5, 7], [2, 16, 4, 4], [5, 17, 3, 11], [4, 40, 2, 8],
  ]

  @Test(arguments: InstructionSet.available)
  func blocksAndUnblocksARangeOfImages(kernels: InstructionSet) {
    for (number, shape) in Self.shapes.enumerated() {
      let x = Tensor.random(shape, number: number)
      let feature = FeatureShape(ofBatch: x)
      let (planar, blocked) = (GuardedBuffer(x.planar), GuardedBuffer(count: x.blocked.count))
      let back = GuardedBuffer(count: planar.count)
      for range in [0..<(shape[0] / 2), (shape[0] / 2)..<shape[0]] {
        BlockedLayout.block(
          planar.pointer, feature, n: shape[0], images: range, into: blocked.pointer, kernels: kernels)
        let written = blocked.values.filter { !$0.isNaN }.count
        #expect(written == range.upperBound * feature.blockedCount)
        BlockedLayout.unblock(
          blocked.pointer, feature, n: shape[0], images: range, into: back.pointer, kernels: kernels)
        #expect(back.values.filter { !$0.isNaN }.count == range.upperBound * feature.count)
      }
      #expect(blocked.values == x.blocked)
      #expect(back.values == planar.values)
      #expect(blocked.isIntact && back.isIntact)
    }
  }

  /// The gradient of a bias: Σ dy over the pixels of a range, near what double says.
  @Test(arguments: InstructionSet.available)
  func biasGradientIsTheSum(kernels: InstructionSet) {
    for (number, shape) in (Self.shapes + [[2, 5, 40, 40]]).enumerated() {
      let dy = Tensor.random(shape, number: number)
      let buffer = GuardedBuffer(dy.blocked)
      let feature = FeatureShape(ofBatch: dy)
      for images in [0..<shape[0], (shape[0] / 2)..<shape[0]] {
        let sums = GuardedBuffer(count: 16 * feature.blocks)
        var blocked = cnn_blocked(feature, n: shape[0], images: images)
        cnn_bias_kernels_for(kernels.kernelTable).pointee.gradient(sums.pointer, buffer.pointer, &blocked)
        #expect(sums.isIntact)
        for (channel, sum) in sums.values.enumerated() {
          guard channel < feature.channels else {
            #expect(sum == 0)
            continue
          }
          let values = dy.images(images).values.enumerated()
            .filter { $0.offset / feature.area % feature.channels == channel }.map { Double($0.element) }
          let magnitude = values.reduce(0) { $0 + abs($1) }
          #expect(abs(Double(sum) - values.reduce(0, +)) <= 0x1p-22 * magnitude)
        }
      }
    }
  }
}
