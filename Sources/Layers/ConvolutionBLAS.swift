import CKernels
import Glibc
import Tensors

/// Convolution as matrix products: im2col and OpenBLAS. With K = (C / groups)·kh·kw and P the output
/// positions of all images, for each group
///
///     y (O × P)      = W (O × K) · col (K × P)
///     dW (O × K)     = dy (O × P) · colᵀ
///     dcol (K × P)   = Wᵀ · dy, and dx = col2im(dcol).
///
/// Positions are taken in blocks, so that a block of col is still in the L2 cache when it is
/// multiplied. A pointwise convolution needs no col: x is one.
struct ConvolutionBLAS {
  private let shape: ConvolutionShape
  private let isa: InstructionSet
  private let blocks: ColumnBlocks

  init(_ shape: ConvolutionShape, _ isa: InstructionSet) {
    self.shape = shape
    self.isa = isa
    blocks = ColumnBlocks(shape)
  }

  /// Floats of scratch that each of the three products needs.
  static func scratch(for shape: ConvolutionShape) -> Int {
    shape.isPointwise ? 0 : shape.depth * ColumnBlocks(shape).mostPositions
  }

  /// y = W · col + bias. Overwrites y.
  func forward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    let kernels = cnn_bias_kernels_for(isa.kernelTable).pointee
    for group in 0..<shape.groups {
      let output = y + group * shape.groupOutputs * shape.outputStride
      forEachBlock { block, first, positions in
        let col = columns(of: x, group, block, in: scratch)
        if let bias {
          kernels.fill(
            output + first, shape.groupOutputs, positions, shape.outputStride,
            bias + group * shape.groupOutputs)
        }
        GEMM.multiply(
          m: shape.groupOutputs, n: positions, k: shape.depth, a: weight + group * groupWeights,
          lda: shape.depth,
          b: col.pointer, ldb: col.stride, beta: bias == nil ? 0 : 1, c: output + first,
          ldc: shape.outputStride)
      }
    }
  }

  /// dW = dy · colᵀ, the blocks added in their order. Overwrites dWeight.
  func backwardWeights(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    for group in 0..<shape.groups {
      let gradient = dy + group * shape.groupOutputs * shape.outputStride
      forEachBlock { block, first, positions in
        let col = columns(of: x, group, block, in: scratch)
        GEMM.multiply(
          .asIs, .transposed, m: shape.groupOutputs, n: shape.depth, k: positions, a: gradient + first,
          lda: shape.outputStride, b: col.pointer, ldb: col.stride, beta: first == 0 ? 0 : 1,
          c: dWeight + group * groupWeights, ldc: shape.depth)
      }
    }
  }

  /// dx = col2im(Wᵀ · dy). Overwrites dx.
  func backwardData(
    dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let kernels = cnn_im2col_kernels_for(isa.kernelTable).pointee
    if !shape.isPointwise { memset(dx, 0, shape.ic * shape.inputStride * MemoryLayout<Float>.stride) }
    for group in 0..<shape.groups {
      let gradient = dy + group * shape.groupOutputs * shape.outputStride
      let target = dx + group * shape.groupInputs * shape.inputStride
      forEachBlock { block, first, positions in
        let col = shape.isPointwise ? target : scratch
        GEMM.multiply(
          .transposed, m: shape.depth, n: positions, k: shape.groupOutputs, a: weight + group * groupWeights,
          lda: shape.depth, b: gradient + first, ldb: shape.outputStride, c: col, ldc: positions)
        guard !shape.isPointwise else { return }
        withUnsafePointer(to: shape) { shape in
          withUnsafePointer(to: block) { kernels.col2im(shape, $0, shape.pointee.groupInputs, col, target) }
        }
      }
    }
  }

  private var groupWeights: Int { shape.groupOutputs * shape.depth }

  /// The columns of a block: made in scratch, or the input itself where it is pointwise.
  private func columns(
    of x: UnsafePointer<Float>, _ group: Int, _ block: cnn_conv_block, in scratch: UnsafeMutablePointer<Float>
  ) -> (pointer: UnsafePointer<Float>, stride: Int) {
    let input = x + group * shape.groupInputs * shape.inputStride
    if shape.isPointwise { return (input, shape.inputStride) }
    let kernels = cnn_im2col_kernels_for(isa.kernelTable).pointee
    withUnsafePointer(to: shape) { shape in
      withUnsafePointer(to: block) { kernels.im2col(shape, $0, shape.pointee.groupInputs, input, scratch) }
    }
    return (UnsafePointer(scratch), block.images * block.rows * shape.ow)
  }

  /// Calls `body` with each block, its first position and their number.
  private func forEachBlock(_ body: (cnn_conv_block, _ first: Int, _ positions: Int) -> Void) {
    for image in stride(from: 0, to: shape.n, by: blocks.images) {
      let images = min(blocks.images, shape.n - image)
      for row in stride(from: 0, to: shape.oh, by: blocks.rows) {
        let rows = min(blocks.rows, shape.oh - row)
        body(
          cnn_conv_block(first_image: image, images: images, first_row: row, rows: rows),
          image * shape.outputArea + row * shape.ow, images * rows * shape.ow)
      }
    }
  }
}

/// How the positions of a microbatch are cut: into whole images, or where those are large into rows of
/// one image. A function of the layer alone; only the last block depends on the number of images.
private struct ColumnBlocks {
  let images: Int
  let rows: Int
  let mostPositions: Int

  init(_ shape: ConvolutionShape) {
    if shape.isPointwise {
      (images, rows) = (shape.n, shape.oh)
    } else {
      let wanted = min(max(Self.positions.lowerBound, Self.floats / shape.depth), Self.positions.upperBound)
      images = max(1, wanted / shape.outputArea)
      // Rows in nearly equal parts.
      let parts = images > 1 ? 1 : (shape.outputArea + wanted - 1) / wanted
      rows = (shape.oh + parts - 1) / parts
    }
    mostPositions = min(images, shape.n) * rows * shape.ow
  }

  /// Floats of col in a block: half of an L2 cache of 1 MB.
  private static let floats = 128 * 1024
  /// With fewer positions the products are too thin (512 → 512 channels on 4×4, 128 instead of 256:
  /// 79 instead of 91 GFLOP/s). With more, those of few input channels leave OpenBLAS's path for small
  /// products (3 → 32 channels, 64×64, weight gradient: 33 at 4096 positions, 80 at 1024).
  private static let positions = 256...1024
}
