import CKernels

/// What convolutions and linear layers multiply. Sums, weights, statistics and losses are fp32 always.
///
/// bf16 has the exponents of fp32, so no gradient vanishes that wouldn't in fp32, and no loss is scaled.
package enum Precision: String, Sendable, CaseIterable {
  case fp32
  /// Both factors rounded to bf16, by direct convolution: Winograd's transforms would lose more than bf16 has
  /// (3 to 7 % in F(4)). Grouped and depthwise convolutions, which memory bounds, stay fp32.
  case bf16
  /// Each layer and pass in bf16 where that is faster than fp32, by the rule of `Convolution.roundingPays`.
  case auto

  /// Whether this CPU has instructions for bf16. Others get the same bits from fp32, slowly.
  package static var isNative: Bool { cnn_isa_has_bf16() }
}
