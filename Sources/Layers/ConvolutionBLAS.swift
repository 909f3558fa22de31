import CKernels
import Tensors

/// Convolution as matrix products: im2row and OpenBLAS. With K = kh·kw·(C / groups), O the outputs of a
/// group and P the output positions of the call's images, for each group
///
///     y (P × O)     = rows (P × K) · W (K × O)
///     dW (K × O)    = rowsᵀ · dy (P × O)
///     drows (P × K) = dy · Wᵀ, and dx = row2im(drows).
///
/// Positions are taken in blocks, so that a block of rows is still in the L2 cache when it is
/// multiplied. OpenBLAS picks its path by the shape of a product: a call takes the images of one
/// microbatch, so that bits don't depend on who computes its neighbours.
struct ConvolutionBLAS {
  private let shape: ConvolutionShape
  private let kernels: cnn_im2row_kernels
  private let elementwise: cnn_elementwise_kernels
  private let isa: cnn_isa
  private let blocks: PositionBlocks

  /// `shape.first` and `shape.images` are those of a microbatch.
  init(_ shape: ConvolutionShape, _ isa: InstructionSet) {
    self.shape = shape
    kernels = cnn_im2row_kernels_for(isa.kernelTable).pointee
    elementwise = cnn_elementwise_kernels_for(isa.kernelTable).pointee
    self.isa = isa.kernelTable
    blocks = PositionBlocks(shape)
  }

  /// Floats of prepared weights: the matrices of all groups, for forward and backward data alike.
  var preparedCount: Int { shape.oc * shape.depth }

  /// Floats of scratch that each of the three products needs: rows, outputs, gradient matrices.
  var scratchCount: Int {
    blocks.mostPositions * (shape.depth + shape.groupOutputs) + preparedCount
  }

  /// Overwrites `prepared` by the matrices W of all groups.
  func prepare(_ prepared: UnsafeMutablePointer<Float>, weight: UnsafePointer<Float>) {
    withUnsafePointer(to: shape) { kernels.unpack_weights($0, prepared, weight) }
  }

  /// y = rows · W with its ending. Overwrites y.
  func forward(
    y: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, prepared: UnsafePointer<Float>,
    ending: cnn_conv_ending, scratch: UnsafeMutablePointer<Float>
  ) {
    forEachBlock(scratch) { shape, block, group, memory in
      kernels.im2row(shape, block, group, memory.rows, x)
      GEMM.multiply(
        m: memory.positions, n: memory.outputCount, k: memory.depth, a: memory.rows, lda: memory.depth,
        b: prepared + group * memory.matrix, ldb: memory.outputCount, c: memory.outputs,
        ldc: memory.outputCount)
      kernels.write_outputs(shape, block, group, y, memory.outputs, ending.bias)
    }
    end(ending, y)
  }

  /// What follows the bias.
  private func end(_ ending: cnn_conv_ending, _ y: UnsafeMutablePointer<Float>) {
    let image = shape.oh * shape.ow * Int(CNN_BLOCK)
    for block in 0..<(shape.oc + Int(CNN_BLOCK) - 1) / Int(CNN_BLOCK) {
      let place = (block * shape.n + shape.first) * image
      if let residual = ending.residual {
        elementwise.add(y + place, y + place, residual + place, shape.images * image, ending.relu)
      } else if ending.relu {
        elementwise.relu(y + place, y + place, shape.images * image)
      }
    }
    guard ending.activation != CNN_IDENTITY else { return }
    var outputs = cnn_blocked(
      channels: shape.oc, n: shape.n, area: shape.oh * shape.ow, first: shape.first, images: shape.images)
    cnn_activation_kernels_for(isa, ending.activation).pointee.forward(y, y, &outputs, 0)
  }

  /// dW = rowsᵀ · dy, the blocks added in their order. Overwrites dWeight.
  func backwardWeights(
    dWeight: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, dy: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    forEachBlock(scratch) { shape, block, group, memory in
      kernels.im2row(shape, block, group, memory.rows, x)
      kernels.read_outputs(shape, block, group, memory.outputs, dy)
      GEMM.multiply(
        .transposed, m: memory.depth, n: memory.outputCount, k: memory.positions, a: memory.rows,
        lda: memory.depth, b: memory.outputs, ldb: memory.outputCount, beta: memory.isFirst ? 0 : 1,
        c: memory.gradients + group * memory.matrix, ldc: memory.outputCount)
    }
    withUnsafePointer(to: shape) { kernels.pack_weights($0, dWeight, scratch) }
  }

  /// dx = row2im(dy · Wᵀ). Overwrites dx.
  func backwardData(
    dx: UnsafeMutablePointer<Float>, dy: UnsafePointer<Float>, prepared: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let image = shape.inputArea * Int(CNN_BLOCK)
    for block in 0..<(shape.ic + Int(CNN_BLOCK) - 1) / Int(CNN_BLOCK) {
      (dx + (block * shape.n + shape.first) * image).update(repeating: 0, count: shape.images * image)
    }
    forEachBlock(scratch) { shape, block, group, memory in
      kernels.read_outputs(shape, block, group, memory.outputs, dy)
      GEMM.multiply(
        .asIs, .transposed, m: memory.positions, n: memory.depth, k: memory.outputCount, a: memory.outputs,
        lda: memory.outputCount, b: prepared + group * memory.matrix, ldb: memory.outputCount,
        c: memory.rows, ldc: memory.depth)
      kernels.row2im(shape, block, group, dx, memory.rows)
    }
  }

  /// Scratch as the products of a block see it, and their extents.
  private struct Memory {
    let gradients: UnsafeMutablePointer<Float>
    let rows: UnsafeMutablePointer<Float>
    let outputs: UnsafeMutablePointer<Float>
    let positions: Int
    let depth: Int
    let outputCount: Int
    let isFirst: Bool
    var matrix: Int { depth * outputCount }
  }

  /// Calls `body` with each block and group.
  private func forEachBlock(
    _ scratch: UnsafeMutablePointer<Float>,
    _ body: (UnsafePointer<ConvolutionShape>, UnsafePointer<cnn_conv_block>, _ group: Int, Memory) -> Void
  ) {
    let end = shape.first + shape.images
    for image in stride(from: shape.first, to: end, by: blocks.images) {
      for row in stride(from: 0, to: shape.oh, by: blocks.rows) {
        let block = cnn_conv_block(
          first_image: image, images: min(blocks.images, end - image), first_row: row,
          rows: min(blocks.rows, shape.oh - row))
        let memory = Memory(
          gradients: scratch, rows: scratch + preparedCount,
          outputs: scratch + preparedCount + blocks.mostPositions * shape.depth,
          positions: block.images * block.rows * shape.ow, depth: shape.depth,
          outputCount: shape.groupOutputs, isFirst: image == shape.first && row == 0)
        withUnsafePointer(to: shape) { shape in
          withUnsafePointer(to: block) { block in
            for group in 0..<shape.pointee.groups { body(shape, block, group, memory) }
          }
        }
      }
    }
  }
}

/// How the positions of a microbatch are cut: into whole images, or where those are large into rows of
/// one image. A function of the layer alone; only the last block depends on the number of images.
private struct PositionBlocks {
  let images: Int
  let rows: Int
  let mostPositions: Int

  init(_ shape: ConvolutionShape) {
    let wanted = min(max(Self.positions.lowerBound, Self.floats / shape.depth), Self.positions.upperBound)
    images = max(1, wanted / shape.outputArea)
    // Rows in nearly equal parts.
    let parts = images > 1 ? 1 : (shape.outputArea + wanted - 1) / wanted
    rows = (shape.oh + parts - 1) / parts
    mostPositions = min(images, shape.images) * rows * shape.ow
  }

  /// Floats of rows in a block: half of an L2 cache of 1 MB.
  private static let floats = 128 * 1024
  /// With fewer positions the products are too thin, with more those of few input channels leave
  /// OpenBLAS's path for small products.
  private static let positions = 256...1024
}
