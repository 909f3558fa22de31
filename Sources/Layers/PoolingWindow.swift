import CKernels

/// The windows of a pooling layer, and the rule of how many there are.
package struct PoolingWindow: Hashable, Sendable {
  package var kernel: Size2D
  package var stride: Size2D
  package var padding: Size2D
  package var dilation: Size2D
  /// Whether a last window that only partly fits counts too.
  package var ceilMode: Bool

  /// For each axis, with input extent I, kernel K, stride S, padding P, dilation D:
  /// `O = ⌊(I + 2P − D·(K − 1) − 1) / S⌋ + 1`, in ceil mode ⌈…⌉, but then less a last window that would
  /// begin behind the input and its left padding (PyTorch, `pooling_output_shape`).
  func outputShape(of input: FeatureShape, layer: String) throws(LayerError) -> FeatureShape {
    try check(layer)
    func extent(_ axis: KeyPath<Size2D, Int>, _ input: Int) -> Int {
      let reach = dilation[keyPath: axis] * (kernel[keyPath: axis] - 1) + 1
      let stride = stride[keyPath: axis]
      let padding = padding[keyPath: axis]
      let free = input + 2 * padding - reach
      guard free >= 0 || (ceilMode && free > -stride) else { return 0 }
      let count = (free + (ceilMode ? stride - 1 : 0)) / stride + 1
      return ceilMode && (count - 1) * stride >= input + padding ? count - 1 : count
    }
    let output = FeatureShape(
      channels: input.channels, height: extent(\.height, input.height), width: extent(\.width, input.width))
    guard output.height > 0 && output.width > 0 else {
      throw LayerError("\(layer) with windows of \(kernel) has no window to put into \(input)")
    }
    func hasEmpty(_ axis: KeyPath<Size2D, Int>, _ input: Int, _ windows: Int) -> Bool {
      (0..<windows).contains { isEmpty(window: $0, axis, input) }
    }
    guard !hasEmpty(\.height, input.height, output.height) && !hasEmpty(\.width, input.width, output.width)
    else {
      throw LayerError(
        "\(layer) with windows of \(kernel), dilation \(dilation), has a window without an element of \(input)"
      )
    }
    return output
  }

  private func check(_ layer: String) throws(LayerError) {
    for axis in [\Size2D.height, \.width] {
      guard kernel[keyPath: axis] > 0 && stride[keyPath: axis] > 0 && dilation[keyPath: axis] > 0 else {
        throw LayerError(
          "\(layer) expects kernel, stride and dilation of at least 1, got \(kernel), \(stride), \(dilation)")
      }
      guard padding[keyPath: axis] >= 0 && padding[keyPath: axis] <= kernel[keyPath: axis] / 2 else {
        throw LayerError("\(layer) expects a padding of at most half the kernel \(kernel), got \(padding)")
      }
    }
  }

  /// Dilation can lead a window across a small input without touching it.
  private func isEmpty(window: Int, _ axis: KeyPath<Size2D, Int>, _ input: Int) -> Bool {
    let start = window * stride[keyPath: axis] - padding[keyPath: axis]
    return !(0..<kernel[keyPath: axis]).contains {
      (0..<input).contains(start + $0 * dilation[keyPath: axis])
    }
  }

  func shape(_ input: FeatureShape, _ output: FeatureShape, images: Int, countIncludePad: Bool = true)
    -> cnn_pooling_shape
  {
    cnn_pooling_shape(
      planes: input.blocks * images, ih: input.height, iw: input.width, oh: output.height, ow: output.width,
      kh: kernel.height, kw: kernel.width, sh: stride.height, sw: stride.width, ph: padding.height,
      pw: padding.width, dh: dilation.height, dw: dilation.width, count_include_pad: countIncludePad)
  }
}
