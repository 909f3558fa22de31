import CKernels

/// A convolution of a microbatch in the letters of the naming page, as all convolution engines take it.
package typealias ConvolutionShape = cnn_conv_shape

extension ConvolutionShape {
  /// Output positions of one image.
  package var outputArea: Int { oh * ow }
  /// Input positions of one image.
  package var inputArea: Int { ih * iw }
  package var groupOutputs: Int { oc / groups }
  /// K: the weights of one output channel.
  package var depth: Int { ic / groups * kh * kw }
  package var isDepthwise: Bool { groups == ic && ic > 1 }
  /// Whether there is one output position, which sees the whole input: a matrix product.
  package var coversInput: Bool { oh == 1 && ow == 1 && kh == ih && kw == iw && ph == 0 && pw == 0 }
  /// Whether an image's outputs don't fill a register tile.
  package var isTiny: Bool { oh * ow <= 4 }
  /// Whether Winograd's algorithms can do it.
  package var isWinograd: Bool {
    kh == 3 && kw == 3 && sh == 1 && sw == 1 && dh == 1 && dw == 1 && groups == 1 && !planar
  }
}
