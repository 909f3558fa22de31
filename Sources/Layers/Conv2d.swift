import CKernels
import Tensors

/// A convolution (in truth a cross-correlation), as PyTorch's `nn.Conv2d`.
///
/// y[o, n, i, j] = bias[o] + Σ w[o, c, a, b] · x[g + c, n, i·sh + a·dh − ph, j·sw + b·dw − pw] for
/// x (C, N, H, W), w (O, C / groups, kh, kw), g the first input channel of o's group; zeros outside.
package struct Conv2d: Layer, Equatable {
  package enum Padding: Hashable, Sendable {
    /// As many zeros above as below, to the left as to the right.
    case explicit(Size2D)
    /// y as large as x, with stride 1: d·(k − 1) zeros in all; an odd one goes below and to the right.
    case same
  }

  package var outputChannels: Int
  package var kernel: Size2D
  package var stride: Size2D
  package var padding: Padding
  package var dilation: Size2D
  package var groups: Int
  package var hasBias: Bool
  package var initialisation: WeightInitialisation

  package init(
    outputChannels: Int, kernel: Size2D, stride: Size2D = 1, padding: Padding = .explicit(0),
    dilation: Size2D = 1, groups: Int = 1, bias: Bool = true, initialisation: WeightInitialisation = .pytorch
  ) {
    self.outputChannels = outputChannels
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.groups = groups
    hasBias = bias
    self.initialisation = initialisation
  }

  package var kind: String { "Conv2d" }

  /// O = ⌊(I + padding − d·(k − 1) − 1) / s⌋ + 1, for height and width.
  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    let x = inputs[0]
    try checkHyperParameters(x)
    if padding == .same { return FeatureShape(channels: outputChannels, height: x.height, width: x.width) }
    let (above, left) = paddingBefore
    func extent(_ input: Int, _ padding: Int, _ kernel: Int, _ dilation: Int, _ stride: Int) -> Int? {
      let room = input + 2 * padding - dilation * (kernel - 1) - 1
      return room < 0 ? nil : room / stride + 1
    }
    guard let height = extent(x.height, above, kernel.height, dilation.height, stride.height),
      let width = extent(x.width, left, kernel.width, dilation.width, stride.width)
    else {
      let reach = Size2D(dilation.height * (kernel.height - 1) + 1, dilation.width * (kernel.width - 1) + 1)
      throw LayerError(
        "Conv2d with a kernel that reaches over \(reach) expects images at least as large, "
          + "got \(x) with padding \(Size2D(above, left))")
    }
    return FeatureShape(channels: outputChannels, height: height, width: width)
  }

  private func checkHyperParameters(_ x: FeatureShape) throws(LayerError) {
    func atLeast(_ least: Int, _ name: String, _ size: Size2D) throws(LayerError) {
      guard min(size.height, size.width) >= least else {
        throw LayerError("Conv2d expects \(name) of at least \(least), got \(size)")
      }
    }
    try atLeast(1, "a kernel", kernel)
    try atLeast(1, "strides", stride)
    try atLeast(1, "dilations", dilation)
    switch padding {
    case .explicit(let size): try atLeast(0, "paddings", size)
    case .same:
      guard stride == 1 else {
        throw LayerError("Conv2d with padding \"same\" expects stride 1, got \(stride)")
      }
    }
    guard groups >= 1, outputChannels >= 1 else {
      throw LayerError(
        "Conv2d expects at least 1 group and 1 output channel, got \(groups) and \(outputChannels)")
    }
    guard x.channels % groups == 0 else {
      throw LayerError(
        "Conv2d with \(groups) groups expects a multiple of \(groups) input channels, got \(x)")
    }
    guard outputChannels % groups == 0 else {
      throw LayerError(
        "Conv2d with \(groups) groups expects a multiple of \(groups) output channels, got \(outputChannels)")
    }
  }

  /// The zeros above and to the left.
  private var paddingBefore: (above: Int, left: Int) {
    switch padding {
    case .explicit(let size): (size.height, size.width)
    case .same: (dilation.height * (kernel.height - 1) / 2, dilation.width * (kernel.width - 1) / 2)
    }
  }

  /// `weight` (O, C / groups, kh, kw), then `bias` (O).
  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    let depth = inputs[0].channels / groups
    let (fanIn, fanOut) = (depth * kernel.area, outputChannels * kernel.area)
    let weight = ArrayDeclaration(
      "weight", [outputChannels, depth, kernel.height, kernel.width], .weight,
      initialisation.weight(fanIn: fanIn, fanOut: fanOut))
    guard hasBias else { return [weight] }
    return [weight, ArrayDeclaration("bias", [outputChannels], .bias, initialisation.bias(fanIn: fanIn))]
  }

  package func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds {
    var needs = MemoryNeeds()
    needs.backwardReadsInput = true
    guard let output = try? outputShape(of: inputs) else {
      preconditionFailure("Conv2d was asked for memory for \(inputs[0]), which it refuses")
    }
    let shape = shape(images: images, input: inputs[0], output: output)
    needs.scratch =
      shape.isDepthwise
      ? withUnsafePointer(to: shape) { Int(cnn_depthwise_scratch($0)) } : ConvolutionBLAS.scratch(for: shape)
    return needs
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int {
    guard let output = try? outputShape(of: inputs) else { return 0 }
    return output.count * inputs[0].channels / groups * kernel.area
  }

  package func forward(_ pass: borrowing ForwardPass) {
    let shape = shape(images: pass.images, input: pass.inputShapes[0], output: pass.outputShape)
    let (x, weight) = (pass.inputs[0], pass.parameters[0])
    let bias = hasBias ? pass.parameters[1] : nil
    if shape.isDepthwise {
      let kernels = cnn_depthwise_kernels_for(pass.kernels.kernelTable).pointee
      withUnsafePointer(to: shape) { kernels.forward($0, x, weight, bias, pass.output, pass.scratch) }
    } else {
      ConvolutionBLAS(shape, pass.kernels)
        .forward(x: x, weight: weight, bias: bias, y: pass.output, scratch: pass.scratch)
    }
  }

  package func backward(_ pass: borrowing BackwardPass) {
    let shape = shape(images: pass.images, input: pass.inputShapes[0], output: pass.outputShape)
    let (x, weight, dy) = (pass.inputs[0], pass.parameters[0], pass.outputGradient)
    let (dWeight, dx) = (pass.parameterGradients[0], pass.inputGradients[0])
    if hasBias {
      let kernels = cnn_bias_kernels_for(pass.kernels.kernelTable).pointee
      kernels.gradient(pass.parameterGradients[1], dy, shape.oc, shape.n, shape.outputArea)
    }
    if shape.isDepthwise {
      let kernels = cnn_depthwise_kernels_for(pass.kernels.kernelTable).pointee
      withUnsafePointer(to: shape) {
        kernels.backward_weights($0, x, dy, dWeight, pass.scratch)
        if let dx { kernels.backward_data($0, dy, weight, dx, pass.scratch) }
      }
    } else {
      let engine = ConvolutionBLAS(shape, pass.kernels)
      engine.backwardWeights(x: x, dy: dy, dWeight: dWeight, scratch: pass.scratch)
      if let dx { engine.backwardData(dy: dy, weight: weight, dx: dx, scratch: pass.scratch) }
    }
  }

  private func shape(images: Int, input: FeatureShape, output: FeatureShape) -> ConvolutionShape {
    let (above, left) = paddingBefore
    return ConvolutionShape(
      n: images, ic: input.channels, ih: input.height, iw: input.width, oc: output.channels,
      oh: output.height,
      ow: output.width, kh: kernel.height, kw: kernel.width, sh: stride.height, sw: stride.width, ph: above,
      pw: left, dh: dilation.height, dw: dilation.width, groups: groups)
  }
}
