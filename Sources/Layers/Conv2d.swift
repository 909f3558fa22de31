import CKernels
import Tensors

/// A convolution (in truth a cross-correlation), as PyTorch's `nn.Conv2d`.
///
/// y[n, o, i, j] = bias[o] + Σ w[o, c, a, b] · x[n, g + c, i·sh + a·dh − ph, j·sw + b·dw − pw] for
/// x (N, C, H, W), w (O, C / groups, kh, kw), g the first input channel of o's group; zeros outside.
package struct Conv2d: ConvolvingLayer, Equatable {
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
  package var algorithm: ConvolutionChoice
  package var choice: ConvolutionChoice { algorithm }
  package var measured: PassAlgorithms?
  package var precision = Precision.fp32
  /// Whether a 1×1 convolution's weight is declared as (O, C), as that of a linear layer on each pixel.
  package var weightIsMatrix = false
  /// What follows, in inference.
  package var following = Following.nothing
  /// Whether x are the network's images, planar (C, N, H, W), whose gradient nobody wants.
  package var readsImages = false

  package init(
    outputChannels: Int, kernel: Size2D, stride: Size2D = 1, padding: Padding = .explicit(0),
    dilation: Size2D = 1, groups: Int = 1, bias: Bool = true, initialisation: WeightInitialisation = .pytorch,
    algorithm: ConvolutionChoice = .auto
  ) {
    self.outputChannels = outputChannels
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.groups = groups
    hasBias = bias
    self.initialisation = initialisation
    self.algorithm = algorithm
  }

  package var kind: String { "Conv2d" }
  package var inputCount: Int? { following.adds ? 2 : 1 }
  package func readsImages(_ shape: FeatureShape) -> Bool { readsImages }

  /// Whether it can read the network's images as they lie. With more channels blocks pay.
  package func canReadImages(_ images: FeatureShape) -> Bool {
    guard images.channels <= 4, let y = try? outputShape(of: [images]) else { return false }
    return Convolution.readsPlanar(shape(images: 1, input: images, output: y), algorithm)
  }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    try checkHyperParameters(inputs[0])
    let y = try extent(of: inputs[0])
    if following.adds, inputs.count != 2 || inputs[1] != y {
      throw LayerError(
        "Conv2d with a residual expects a second input \(y), got "
          + inputs.dropFirst().map(\.description).joined(separator: " and "))
    }
    try Convolution.check(shape(images: 1, input: inputs[0], output: y), algorithm)
    guard following == .reluThenMaxPool else { return y }
    return FeatureShape(channels: y.channels, height: y.height / 2, width: y.width / 2)
  }

  /// O = ⌊(I + padding − d·(k − 1) − 1) / s⌋ + 1, for height and width.
  private func extent(of x: FeatureShape) throws(LayerError) -> FeatureShape {
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
    precondition(!weightIsMatrix || kernel.area == 1, "only a 1×1 convolution has a matrix for its weight")
    let weight = ArrayDeclaration(
      "weight",
      weightIsMatrix ? [outputChannels, depth] : [outputChannels, depth, kernel.height, kernel.width],
      .weight, .panels(taps: kernel.area),
      initialisation.weight(fanIn: fanIn, fanOut: fanOut))
    guard hasBias else { return [weight] }
    return [
      weight, ArrayDeclaration("bias", [outputChannels], .bias, .plain, initialisation.bias(fanIn: fanIn)),
    ]
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int {
    guard let output = try? extent(of: inputs[0]) else { return 0 }
    return output.count * inputs[0].channels / groups * kernel.area
  }

  package func convolutionShape(images: Int, input: FeatureShape) -> ConvolutionShape {
    guard let output = try? extent(of: input) else {
      preconditionFailure("Conv2d was asked to work on \(input), which it refuses")
    }
    return shape(images: images, input: input, output: output)
  }

  private func shape(images: Int, input: FeatureShape, output: FeatureShape) -> ConvolutionShape {
    let (above, left) = paddingBefore
    return ConvolutionShape(
      n: images, ic: input.channels, ih: input.height, iw: input.width, oc: output.channels,
      oh: output.height, ow: output.width, kh: kernel.height, kw: kernel.width, sh: stride.height,
      sw: stride.width, ph: above, pw: left, dh: dilation.height, dw: dilation.width, groups: groups,
      first: 0, images: images, planar: readsImages, dy_alone: false, continues: false)
  }
}
