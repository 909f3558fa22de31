import CKernels
import Tensors

/// A convolution to compare algorithms on: its arrays in the layouts of the kernels. Images beside those
/// of the call hold NaN, in inputs and in outputs, so that whoever reads or writes them is seen.
struct ConvolutionCase: CustomStringConvertible, Sendable {
  enum Pass: UInt32, CaseIterable {
    case forward, backwardData, backwardWeights
    var constant: cnn_conv_pass { cnn_conv_pass(rawValue: rawValue) }
  }

  let shape: cnn_conv_shape
  let x: FloatBuffer
  let dy: FloatBuffer
  /// Lies as y does.
  let residual: FloatBuffer
  let weight: FloatBuffer
  let bias: FloatBuffer?
  /// What ends forward beside the bias: nothing, a function, or a residual and a function.
  var followers: Int
  /// The function; the identity stands for ReLU.
  var function: cnn_activation {
    [CNN_IDENTITY, CNN_RELU6, CNN_HARDSWISH, CNN_SILU][(shape.ic + shape.oc) / 3 % 4]
  }

  init(_ shape: cnn_conv_shape, hasBias: Bool) {
    self.shape = shape
    followers = (shape.ic + shape.oc) % 3
    let stream = RandomStream(seed: 5, purpose: .test(1))
    x = FloatBuffer(count: Self.count(.backwardData, shape))
    dy = FloatBuffer(count: Self.count(.forward, shape))
    residual = dy
    weight = FloatBuffer(count: Self.count(.backwardWeights, shape))
    bias = hasBias ? FloatBuffer(count: Self.rounded(shape.oc)) : nil
    for buffer in [x, dy, weight] { Self.fill(buffer, .nan) }
    var index = 0
    func draw() -> Float {
      index += 1
      return 2 * stream.uniform(at: index) - 1
    }
    for image in shape.first..<(shape.first + shape.images) {
      for place in Self.places(image, shape.ic, shape.ih * shape.iw, shape.n, planar: shape.planar) {
        x.pointer[place.index] = place.exists ? draw() : 0
      }
      for place in Self.places(image, shape.oc, shape.oh * shape.ow, shape.n, planar: false) {
        dy.pointer[place.index] = place.exists ? draw() : 0
      }
    }
    let rows = shape.kh * shape.kw * shape.ic / shape.groups
    for channel in 0..<Self.rounded(shape.oc) {
      let panel = channel / 32 * 32
      let width = min(32, Self.rounded(shape.oc) - panel)
      for row in 0..<rows {
        weight.pointer[panel * rows + row * width + channel - panel] = channel < shape.oc ? draw() : 0
      }
      bias?.pointer[channel] = channel < shape.oc ? draw() : 0
    }
  }

  private init(
    _ shape: cnn_conv_shape, arraysOf other: ConvolutionCase, _ change: (FloatBuffer) -> FloatBuffer = { $0 }
  ) {
    self.shape = shape
    (x, dy, weight) = (change(other.x), change(other.dy), change(other.weight))
    (residual, bias, followers) = (other.residual, other.bias, other.followers)
  }

  /// The same with what is multiplied changed value by value; residual and bias stay.
  func factors(_ change: (Float) -> Float) -> ConvolutionCase {
    ConvolutionCase(shape, arraysOf: self) { FloatBuffer($0.values.map(change)) }
  }

  /// The same with what is multiplied rounded to bf16: to the nearest, ties to even.
  func factorsRoundedToBF16() -> ConvolutionCase { factors(Self.roundedToBF16) }

  static func roundedToBF16(_ x: Float) -> Float {
    guard x.isFinite, x != 0 else { return x }
    // The distance between neighbours that have 8 significant bits.
    let step = x.ulp * 65_536
    return (x / step).rounded(.toNearestOrEven) * step
  }

  /// The same arrays, for a call on other images of them.
  func restricted(to images: Range<Int>) -> ConvolutionCase {
    var part = shape
    (part.first, part.images) = (images.lowerBound, images.count)
    return ConvolutionCase(part, arraysOf: self)
  }

  static func rounded(_ channels: Int) -> Int { (channels + 15) / 16 * 16 }

  /// Floats of what a pass computes.
  static func count(_ pass: Pass, _ shape: cnn_conv_shape) -> Int {
    switch pass {
    case .forward: rounded(shape.oc) * shape.n * shape.oh * shape.ow
    case .backwardData: (shape.planar ? shape.ic : rounded(shape.ic)) * shape.n * shape.ih * shape.iw
    case .backwardWeights: rounded(shape.oc) * shape.ic / shape.groups * shape.kh * shape.kw
    }
  }

  /// By how much ReLU6 makes the largest output smaller: errors are as large as the sums before it.
  var cut: Double {
    guard followers > 0, function == CNN_RELU6, let reference = cnn_conv_algorithm_named(CNN_ISA_REF, "ref")
    else {
      return 1
    }
    var plain = self
    plain.followers = 0
    guard let values = plain.run(reference.pointee, .forward)?.values else { return 1 }
    let largest = (0..<Self.count(.forward, shape)).map { abs(values.pointer[$0]) }.filter(\.isFinite).max()
    return max(1, Double(largest ?? 0) / 6)
  }

  /// The floats of an image, and whether their channels exist.
  static func places(
    _ image: Int, _ channels: Int, _ area: Int, _ images: Int, planar: Bool
  ) -> [(index: Int, exists: Bool)] {
    if planar {
      return (0..<channels).flatMap { c in (0..<area).map { ((c * images + image) * area + $0, true) } }
    }
    return (0..<rounded(channels)).flatMap { c in
      (0..<area).map { (((c / 16 * images + image) * area + $0) * 16 + c % 16, c < channels) }
    }
  }

  static func fill(_ buffer: FloatBuffer, _ value: Float) {
    for index in 0..<buffer.count { buffer.pointer[index] = value }
  }

  /// What an algorithm computes, NaN where it wrote nothing; nil where it can't do it. Traps nothing:
  /// `overrun` says whether it wrote beyond what it asked for.
  func run(_ algorithm: cnn_conv_algorithm, _ pass: Pass) -> (values: FloatBuffer, overrun: Bool)? {
    guard !(shape.planar && pass == .backwardData) else { return nil }
    return withUnsafePointer(to: shape) { shape in
      guard algorithm.fits(shape, pass.constant) else { return nil }
      let prepared = Guarded(count: algorithm.prepared(shape, pass.constant))
      let scratch = Guarded(count: algorithm.scratch(shape, pass.constant))
      let result = Guarded(count: Self.count(pass, shape.pointee))
      if prepared.count > 0 {
        algorithm.prepare(shape, pass.constant, prepared.buffer.pointer, weight.pointer)
      }
      let (ready, memory, to) = (prepared.buffer.pointer, scratch.buffer.pointer, result.buffer.pointer)
      switch pass {
      case .forward:
        var ending = cnn_conv_ending(
          bias: bias?.pointer, residual: followers == 2 ? residual.pointer : nil,
          relu: followers > 0 && function == CNN_IDENTITY, pool: false,
          activation: followers > 0 ? function : CNN_IDENTITY)
        algorithm.forward(shape, to, x.pointer, weight.pointer, ready, &ending, memory)
      case .backwardData: algorithm.backward_data(shape, to, dy.pointer, weight.pointer, ready, memory)
      case .backwardWeights: algorithm.backward_weights(shape, to, x.pointer, dy.pointer, memory)
      }
      return (result.buffer, prepared.isOverrun || scratch.isOverrun || result.isOverrun)
    }
  }

  /// Memory full of NaN with words behind it that nobody may touch.
  private struct Guarded {
    let count: Int
    let buffer: FloatBuffer
    private static let word: Float = 12_345.678

    init(count: Int) {
      self.count = count
      buffer = FloatBuffer(count: count + 64)
      ConvolutionCase.fill(buffer, .nan)
      for index in count..<(count + 64) { buffer.pointer[index] = Self.word }
    }

    var isOverrun: Bool { (count..<(count + 64)).contains { buffer.pointer[$0] != Self.word } }
  }

  var description: String {
    let s = shape
    return "n \(s.n) from \(s.first) \(s.images), \(s.planar ? "planar " : "")"
      + "(\(s.ic), \(s.ih), \(s.iw)) to (\(s.oc), \(s.oh), \(s.ow)), kernel \(s.kh)×\(s.kw), "
      + "stride \(s.sh)×\(s.sw), padding \(s.ph)×\(s.pw), dilation \(s.dh)×\(s.dw), groups \(s.groups)"
  }
}

/// Shapes by the kind of what is special about them, drawn at random, small, with odd tails.
enum ConvolutionKind: CaseIterable {
  case general, grouped, depthwise, pointwise, dense, planar, narrow, tiny, threeByThree, wide

  func shape(_ number: Int) -> cnn_conv_shape {
    let stream = RandomStream(seed: 7, purpose: .test(number))
    var index = 0
    func draw(_ range: ClosedRange<Int>) -> Int {
      index += 1
      return range.lowerBound + stream.integer(at: index, below: range.count)
    }
    var s = cnn_conv_shape()
    s.n = draw(1...4)
    (s.ic, s.oc, s.groups) = (draw(1...50), draw(1...70), 1)
    (s.kh, s.kw, s.sh, s.sw) = (draw(1...4), draw(1...4), draw(1...3), draw(1...3))
    (s.ph, s.pw, s.dh, s.dw) = (draw(0...3), draw(0...3), draw(1...3), draw(1...2))
    (s.ih, s.iw) = (draw(1...12), draw(1...17))
    // Zeros below and to the right, a few more or less than above and to the left.
    var (below, right) = (s.ph + draw(0...2) - 1, s.pw + draw(0...2) - 1)
    switch self {
    case .general: break
    case .grouped:
      s.groups = draw(2...6)
      let whole = draw(0...2) == 0
      (s.ic, s.oc) = (s.groups * (whole ? 16 : draw(1...20)), s.groups * (whole ? 32 : draw(1...20)))
    case .depthwise:
      (s.ic, s.groups) = (s.ic + 1, s.ic + 1)
      s.oc = s.ic * [1, 1, 2, 3][draw(0...3)]
      (s.kh, s.kw) = (draw(1...5), draw(1...7))
    case .pointwise: (s.kh, s.kw, s.ph, s.pw, below, right) = (1, 1, 0, 0, 0, 0)
    case .dense:
      (s.n, s.ih, s.iw) = (draw(1...40), draw(1...4), draw(1...3))
      (s.kh, s.kw, s.ph, s.pw, s.dh, s.dw, below, right) = (s.ih, s.iw, 0, 0, 1, 1, 0, 0)
    case .planar:
      (s.planar, s.ic) = (true, draw(1...5))
      (s.ih, s.iw, s.kh, s.kw) = (draw(1...30), draw(1...40), draw(1...7), draw(1...7))
      if draw(0...1) == 0 { s.dw = 1 }
    case .narrow:
      s.planar = draw(0...1) == 0
      (s.ic, s.oc) = s.planar ? (draw(1...3), draw(1...8)) : (draw(1...8), draw(1...40))
      (s.ih, s.iw, s.kh, s.kw) = (draw(1...60), draw(1...40), draw(1...6), draw(1...6))
      (s.sh, s.sw, s.dh, s.dw) = (1, 1, 1, 1)
      (s.ph, below, s.pw, right) = (
        draw(0...(s.kh - 1)), draw(0...(s.kh - 1)), draw(0...(s.kw - 1)), draw(0...(s.kw - 1))
      )
    case .tiny:
      (s.n, s.ih, s.iw) = (draw(1...20), draw(1...5), draw(1...5))
      (s.ic, s.oc) = (draw(1...150), draw(1...150))
      (s.dh, s.dw) = (1, 1)
    case .threeByThree:
      (s.kh, s.kw, s.sh, s.sw, s.dh, s.dw) = (3, 3, 1, 1, 1, 1)
      (s.ph, s.pw) = (draw(0...1), draw(0...2))
      (below, right) = (s.ph, s.pw)
    case .wide:
      // More than a part holds, so that images are cut into rows.
      (s.n, s.ic, s.ih, s.iw) = (draw(1...2), draw(30...50), draw(40...60), draw(90...120))
      (s.oc, s.kh, s.kw) = (draw(1...20), draw(1...3), draw(1...3))
    }
    s.first = draw(0...(s.n - 1))
    s.images = draw(1...(s.n - s.first))
    let reach = ((s.kh - 1) * s.dh + 1, (s.kw - 1) * s.dw + 1)
    s.ih = max(s.ih, reach.0 - s.ph - below, 1)
    s.iw = max(s.iw, reach.1 - s.pw - right, 1)
    s.oh = (s.ih + s.ph + below - reach.0) / s.sh + 1
    s.ow = (s.iw + s.pw + right - reach.1) / s.sw + 1
    return s
  }
}
