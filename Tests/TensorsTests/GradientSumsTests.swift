import CKernels
import Tensors
import Testing

/// Gradients of weights that are summed otherwise than image by image of one call: the bits must not tell.
@Suite struct GradientSumsTests {
  /// Floats that a call may write, between guard words.
  private static func gradient(
    _ test: ConvolutionCase, _ algorithm: cnn_conv_algorithm, _ shape: cnn_conv_shape,
    into dw: FloatBuffer? = nil, dy: FloatBuffer? = nil, leaves: [Int]? = nil
  ) -> (values: FloatBuffer, isDone: Bool) {
    var shape = shape
    let result = dw ?? FloatBuffer(count: ConvolutionCase.count(.backwardWeights, test.shape))
    if dw == nil { ConvolutionCase.fill(result, .nan) }
    let scratch = FloatBuffer(count: algorithm.scratch(&shape, CNN_CONV_BACKWARD_WEIGHTS))
    guard let leaves else {
      algorithm.backward_weights(
        &shape, result.pointer, test.x.pointer, (dy ?? test.dy).pointer, scratch.pointer)
      return (result, true)
    }
    return leaves.withUnsafeBufferPointer { first in
      var tree = cnn_leaves(count: leaves.count - 1, first: first.baseAddress)
      let isDone = algorithm.backward_weights_of_tree?(
        &shape, &tree, result.pointer, test.x.pointer, test.dy.pointer, scratch.pointer)
      return (result, isDone ?? false)
    }
  }

  private static func bits(_ buffer: FloatBuffer) -> [UInt32] { buffer.values.map(\.bitPattern) }

  /// Sums of neighbours, of pairs and so on: what `ReductionTree` says.
  private static func sum(_ leaves: ArraySlice<[Float]>) -> [Float] {
    guard leaves.count > 1, let first = leaves.first else { return leaves.first ?? [] }
    var left = 1
    while 2 * left < leaves.count { left *= 2 }
    precondition(first.count > 0)
    let border = leaves.startIndex + left
    return zip(sum(leaves[..<border]), sum(leaves[border...])).map { $0 + $1 }
  }

  /// Microbatches of 1 to 3 images, up to 14 of them.
  @Test(arguments: [ConvolutionKind.dense, .tiny], ConvolutionTests.sets)
  func aTreeGivesTheBitsOfItsLeaves(kind: ConvolutionKind, set: InstructionSet) throws {
    var trees = 0
    for number in 0..<60 {
      let test = ConvolutionCase(kind.shape(number), hasBias: false)
      var leaves = [test.shape.first]
      while let last = leaves.last, last < test.shape.first + test.shape.images {
        leaves.append(min(last + 1 + (number + leaves.count) % 3, test.shape.first + test.shape.images))
      }
      for algorithm in ConvolutionTests.algorithms(set) {
        guard withUnsafePointer(to: test.shape, { algorithm.fits($0, CNN_CONV_BACKWARD_WEIGHTS) }) else {
          continue
        }
        let tree = Self.gradient(test, algorithm, test.shape, leaves: leaves)
        guard tree.isDone else { continue }
        trees += 1
        let parts = zip(leaves, leaves.dropFirst()).map { first, end in
          var leaf = test.shape
          (leaf.first, leaf.images) = (first, end - first)
          return Self.gradient(test, algorithm, leaf).values.values
        }
        let isEqual = Self.bits(tree.values) == Self.sum(parts[...]).map(\.bitPattern)
        #expect(isEqual, "\(String(cString: algorithm.name)) of \(leaves.count - 1) leaves: \(test)")
      }
    }
    #expect(trees > 15)
  }

  /// More weights than go through the caches, and leaves of 16 images.
  @Test func aLargeTreeGivesTheBitsOfItsLeaves() throws {
    var shape = cnn_conv_shape()
    (shape.n, shape.images, shape.groups) = (64, 64, 1)
    (shape.ic, shape.ih, shape.iw, shape.oc, shape.oh, shape.ow) = (1504, 1, 1, 1424, 1, 1)
    (shape.kh, shape.kw, shape.sh, shape.sw, shape.dh, shape.dw) = (1, 1, 1, 1, 1, 1)
    let test = ConvolutionCase(shape, hasBias: false)
    for set in ConvolutionTests.sets {
      let dense = try #require(cnn_conv_algorithm_named(set.kernelTable, "dense")).pointee
      let tree = Self.gradient(test, dense, shape, leaves: [0, 16, 32, 48, 64])
      #expect(tree.isDone)
      let parts = (0..<4).map { leaf in
        (shape.first, shape.images) = (16 * leaf, 16)
        defer { (shape.first, shape.images) = (0, 64) }
        return Self.gradient(test, dense, shape).values.values
      }
      let isEqual = Self.bits(tree.values) == Self.sum(parts[...]).map(\.bitPattern)
      #expect(isEqual, "\(set)")
    }
  }

  /// Calls for a few images each, whose gradients lie alone, go on where the last ended.
  @Test(arguments: ConvolutionTests.sets)
  func partsGiveTheBitsOfOneCall(set: InstructionSet) throws {
    var cases = 0
    for number in 0..<60 {
      let test = ConvolutionCase(ConvolutionKind.planar.shape(number), hasBias: false)
      for algorithm in ConvolutionTests.algorithms(set) where algorithm.parts > 0 {
        guard withUnsafePointer(to: test.shape, { algorithm.fits($0, CNN_CONV_BACKWARD_WEIGHTS) }) else {
          continue
        }
        let whole = Self.gradient(test, algorithm, test.shape).values
        let dw = FloatBuffer(count: whole.count)
        ConvolutionCase.fill(dw, .nan)
        let end = test.shape.first + test.shape.images
        for first in stride(from: test.shape.first, to: end, by: algorithm.parts) {
          var part = test.shape
          (part.first, part.images) = (first, min(algorithm.parts, end - first))
          (part.dy_alone, part.continues) = (true, first > test.shape.first)
          _ = Self.gradient(test, algorithm, part, into: dw, dy: Self.alone(test, part))
        }
        cases += 1
        let isEqual = Self.bits(dw) == Self.bits(whole)
        #expect(isEqual, "\(String(cString: algorithm.name)): \(test)")
      }
    }
    #expect(cases > 20)
  }

  /// dy of the part's images alone.
  private static func alone(_ test: ConvolutionCase, _ part: cnn_conv_shape) -> FloatBuffer {
    let (size, blocks) = (part.oh * part.ow * 16, (part.oc + 15) / 16)
    let alone = FloatBuffer(count: blocks * part.images * size)
    for block in 0..<blocks {
      (alone.pointer + block * part.images * size).update(
        from: test.dy.pointer + (block * part.n + part.first) * size, count: part.images * size)
    }
    return alone
  }
}
