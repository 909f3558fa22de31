import CKernels

/// A convolution of a microbatch in the letters of the naming page, as all convolution engines take it.
package typealias ConvolutionShape = cnn_conv_shape

extension ConvolutionShape {
  /// Output positions of one image, and the floats between two rows (channels) of y.
  package var outputArea: Int { oh * ow }
  package var outputStride: Int { n * oh * ow }
  /// The same of the input.
  package var inputArea: Int { ih * iw }
  package var inputStride: Int { n * ih * iw }
  package var groupInputs: Int { ic / groups }
  package var groupOutputs: Int { oc / groups }
  /// K: the weights of one output channel.
  package var depth: Int { groupInputs * kh * kw }
  /// Whether x itself is the matrix of columns.
  package var isPointwise: Bool { kh == 1 && kw == 1 && sh == 1 && sw == 1 && oh == ih && ow == iw }
  package var isDepthwise: Bool { groups == ic && ic > 1 }
}
