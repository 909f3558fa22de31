import Tensors
/// STOPGAP, not to land.
struct ConvolutionBLAS {
  init(_ s: ConvolutionShape, _ k: InstructionSet) {}
  static func scratch(for s: ConvolutionShape) -> Int { 0 }
  func forward(x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?, y: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>) {}
  func backwardWeights(x: UnsafePointer<Float>, dy: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>) {}
  func backwardData(dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>) {}
}
