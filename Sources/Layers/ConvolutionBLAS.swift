import Tensors

/// Convolution as matrix products, of the images `shape.first ..< shape.first + shape.images`, which are a
/// microbatch: OpenBLAS picks its path by a product's shape, and other paths give other bits.
struct ConvolutionBLAS {
  private let shape: ConvolutionShape
  private let isa: InstructionSet

  init(_ shape: ConvolutionShape, _ isa: InstructionSet) {
    self.shape = shape
    self.isa = isa
  }

  /// Floats of scratch that each of the three products needs.
  static func scratch(for shape: ConvolutionShape) -> Int { 0 }

  /// Overwrites y of the images; bias (O, rounded up to 16).
  func forward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    preconditionFailure("blas is being rewritten for the new layout")
  }

  /// Overwrites dWeight, panels.
  func backwardWeights(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    preconditionFailure("blas is being rewritten for the new layout")
  }

  /// Overwrites dx of the images.
  func backwardData(
    dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    preconditionFailure("blas is being rewritten for the new layout")
  }
}
