import CKernels
import Tensors

/// How convolutions are computed.
package enum ConvolutionChoice: String, Sendable, CaseIterable {
  /// Each layer and pass by the rule of `Convolution.ranking`.
  case auto
  /// Each layer and pass by times measured on the kind of CPU of rank 0 (`bench kernels --tune`), by the rule where
  /// there are none.
  case tuned
  /// im2row and OpenBLAS.
  case blas
  /// One algorithm for every convolution (linear layers keep theirs); a network with a shape that it
  /// can't do is refused.
  case direct, winograd2, winograd4, winograd5

  /// The algorithm that every convolution must use.
  fileprivate var forced: String? {
    switch self {
    case .auto, .tuned, .blas: nil
    case .direct, .winograd2, .winograd4, .winograd5: rawValue
    }
  }
}

/// A convolution of a wave, each pass by the algorithm that was chosen for its shape and instruction
/// set, never for its number of images: a choice must not depend on lanes and ranks.
///
/// Prepared are the weights of forward, then those of backward data; of BLAS the same for both.
struct Convolution {
  typealias Algorithm = UnsafePointer<cnn_conv_algorithm>

  static let passes = [CNN_CONV_FORWARD, CNN_CONV_BACKWARD_DATA, CNN_CONV_BACKWARD_WEIGHTS]

  private let shape: ConvolutionShape
  private let kernels: InstructionSet
  private let choice: ConvolutionChoice
  private let precision: Precision
  private let measured: PassAlgorithms?

  /// `shape` with all images of the wave.
  init(
    _ shape: ConvolutionShape, _ choice: ConvolutionChoice, _ precision: Precision,
    measured: PassAlgorithms? = nil, _ kernels: InstructionSet
  ) {
    self.shape = shape
    self.choice = choice
    self.precision = precision
    self.measured = measured
    self.kernels = kernels
  }

  // MARK: Choosing

  /// Algorithms for a shape, the first that fits is taken.
  ///
  /// Winograd's tiles of m × m outputs take (m + 2)² products each, so the m that needs fewest wins,
  /// the larger error of F(4) and F(5) (1e-5 of the largest output) being borne where that is a tenth at
  /// least. With fewer than 16 channels on a side transforms cost more than they save.
  private static func ranking(
    _ shape: ConvolutionShape, _ pass: cnn_conv_pass
  ) -> (first: String, second: String) {
    if shape.planar { return (isNarrow(shape, shape.oc, shape.ow) ? "narrow" : "stem", "stem") }
    if shape.isDepthwise { return ("depthwise", "direct") }
    if shape.groups == 1 && shape.coversInput { return ("dense", "direct") }
    if shape.groups == 1 && shape.kh == 1 && shape.kw == 1 {
      return (pass == CNN_CONV_BACKWARD_DATA && shape.isTiny ? "dense" : "pointwise", "direct")
    }
    if pass == CNN_CONV_BACKWARD_DATA && isNarrow(shape, shape.ic, shape.iw) { return ("narrow", "direct") }
    if shape.isTiny { return ("tiny", "direct") }
    return (winograd(shape)?.name ?? "direct", "direct")
  }

  /// Whether a block of channels of what is made would be half empty, but vectors along its width are not.
  private static func isNarrow(_ shape: ConvolutionShape, _ channels: Int, _ width: Int) -> Bool {
    channels <= 8 && shape.kw > 1 && 4 * width >= 3 * ((width + 15) / 16 * 16)
  }

  /// The best of Winograd's, and its products for each pair of channels; nil where direct sums are better.
  private static func winograd(_ shape: ConvolutionShape) -> (name: String, products: Int)? {
    guard shape.isWinograd, min(shape.ic, shape.oc) >= 16 else { return nil }
    func products(_ tile: Int) -> Int {
      ((shape.oh + tile - 1) / tile) * ((shape.ow + tile - 1) / tile) * (tile + 2) * (tile + 2)
    }
    let plain = 9 * shape.oh * shape.ow
    var best = (name: "winograd4", products: products(4))
    if 10 * products(2) < 9 * best.products { best = ("winograd2", products(2)) }
    if 10 * products(5) < 9 * best.products { best = ("winograd5", products(5)) }
    return 10 * best.products < 9 * plain ? best : nil
  }

  /// Whether the precision wants bf16 in a pass, where there is an algorithm.
  private func rounds(_ pass: cnn_conv_pass) -> Bool {
    switch precision {
    case .fp32: false
    case .bf16: true
    case .auto: Self.roundingPays(shape, pass)
    }
  }

  /// Whether bf16 is faster than the fp32 algorithm of `ranking`. It multiplies twice as fast, and padding not at
  /// all; a product of Winograd's costs more than one, for its transforms. So bf16 wins up to 2.5 times
  /// Winograd's products: at 3×3 outputs and below, and at 6×6. Not in linear layers, where rounding the weights
  /// once a step takes longer than the products of a batch, nor with 16 channels or fewer to add over, which
  /// fill half of the pairs, nor with 32 in 1×1 kernels, whose sums are too short. ARCHITECTURE.md has
  /// measurements.
  private static func roundingPays(_ shape: ConvolutionShape, _ pass: cnn_conv_pass) -> Bool {
    guard !shape.planar else { return true }
    guard !shape.coversInput else { return false }
    if pass != CNN_CONV_BACKWARD_WEIGHTS {
      let channels = pass == CNN_CONV_FORWARD ? shape.ic : shape.oc
      guard channels > (shape.kh * shape.kw == 1 ? 32 : 16) else { return false }
    }
    guard let winograd = winograd(shape) else { return true }
    // With 3 taps, e rows or columns of outputs meet 3·e − 2 of the image, where one is padded at each end.
    func inside(_ outputs: Int, _ padding: Int) -> Int { 3 * outputs - 2 * padding }
    return 10 * inside(shape.oh, shape.ph) * inside(shape.ow, shape.pw) < 25 * winograd.products
  }

  /// The algorithm of a pass; nil for BLAS. Called for every pass over a layer, so it allocates nothing.
  private func algorithm(_ pass: cnn_conv_pass) -> Algorithm? {
    if choice == .blas { return nil }
    if let measured, let algorithm = Self.fitting(measured[pass], shape, pass, kernels) { return algorithm }
    if let forced = choice.forced, let algorithm = Self.fitting(forced, shape, pass, kernels) {
      return algorithm
    }
    if rounds(pass),
      let algorithm = Self.fitting(shape.planar ? "stem_bf16" : "bf16", shape, pass, kernels)
    {
      return algorithm
    }
    let (first, second) = Self.ranking(shape, pass)
    guard
      let algorithm = Self.fitting(first, shape, pass, kernels) ?? Self.fitting(second, shape, pass, kernels)
    else { preconditionFailure("no algorithm for \(shape)") }
    return algorithm
  }

  /// The algorithms' names by pass: forward, backward data, backward weights.
  var algorithmNames: [String] {
    Self.passes.map { pass in
      if shape.planar && pass == CNN_CONV_BACKWARD_DATA { return "" }
      return algorithm(pass).map { String(cString: $0.pointee.name) } ?? "blas"
    }
  }

  private static func fitting(
    _ name: String, _ shape: ConvolutionShape, _ pass: cnn_conv_pass, _ kernels: InstructionSet
  ) -> Algorithm? {
    // Swift's own conversion of a String to a C string would allocate.
    guard let algorithm = name.withCString({ cnn_conv_algorithm_named(kernels.kernelTable, $0) }),
      withUnsafePointer(to: shape, { algorithm.pointee.fits($0, pass) })
    else { return nil }
    return algorithm
  }

  /// Throws where an algorithm is forced on a shape that it can't do, and names those that can.
  static func check(_ shape: ConvolutionShape, _ choice: ConvolutionChoice) throws(LayerError) {
    guard let forced = choice.forced else { return }
    var blocked = shape
    blocked.planar = false
    func fits(_ name: String) -> Bool {
      passes.allSatisfy { fitting(name, blocked, $0, .detected) != nil }
    }
    guard !fits(forced) else { return }
    let others = ConvolutionChoice.allCases.filter { $0 != .tuned && ($0.forced == nil || fits($0.rawValue)) }
    throw cannot(forced, shape, others.map(\.rawValue))
  }

  /// The same where a pass is said to have been measured with an algorithm that can't do it.
  static func check(_ shape: ConvolutionShape, _ measured: PassAlgorithms) throws(LayerError) {
    for pass in passes where measured[pass] != PassAlgorithms.noPass {
      let possible = candidates(shape, pass, .detected).filter { !rounds($0) }
      guard !possible.contains(measured[pass]) else { continue }
      throw cannot(measured[pass], shape, possible)
    }
  }

  private static func cannot(_ name: String, _ shape: ConvolutionShape, _ others: [String]) -> LayerError {
    LayerError(
      "\(name) can't do a convolution of \(shape.ic) to \(shape.oc) channels with kernel "
        + "\(Size2D(shape.kh, shape.kw)), stride \(Size2D(shape.sh, shape.sw)), dilation "
        + "\(Size2D(shape.dh, shape.dw)) and \(shape.groups) group(s); \(others.joined(separator: ", ")) can")
  }

  /// Whether an algorithm multiplies in bf16, which is a precision's choice (`Precision`) and not a matter of time.
  static func rounds(_ name: String) -> Bool { name.hasSuffix("bf16") }

  /// All that can do a pass, but for `ref`, which is there to compare with.
  static func candidates(
    _ shape: ConvolutionShape, _ pass: cnn_conv_pass, _ kernels: InstructionSet
  ) -> [String] {
    var count = 0
    guard let table = cnn_conv_algorithms(kernels.kernelTable, &count) else { return [] }
    return (0..<count).compactMap { table[$0].map { String(cString: $0.pointee.name) } }
      .filter { $0 != "ref" && fitting($0, shape, pass, kernels) != nil }
  }

  /// Whether planar images can be read in both passes that read x.
  static func readsPlanar(_ shape: ConvolutionShape, _ choice: ConvolutionChoice) -> Bool {
    guard choice != .blas, choice.forced == nil || choice == .direct else { return false }
    var planar = shape
    planar.planar = true
    return [CNN_CONV_FORWARD, CNN_CONV_BACKWARD_WEIGHTS].allSatisfy { pass in
      let (first, second) = ranking(planar, pass)
      return fitting(first, planar, pass, .detected) != nil || fitting(second, planar, pass, .detected) != nil
    }
  }

  // MARK: Memory

  /// Floats of prepared weights.
  var preparedCount: Int {
    if choice == .blas { return ConvolutionBLAS(shape, kernels).preparedCount }
    return preparedCount(CNN_CONV_FORWARD) + preparedCount(CNN_CONV_BACKWARD_DATA)
  }

  /// How many of them, the last, only backward data reads.
  var preparedCountForBackward: Int { choice == .blas ? 0 : preparedCount(CNN_CONV_BACKWARD_DATA) }

  /// Floats of scratch that every pass over at most the images of the shape can do with.
  var scratchCount: Int {
    if choice == .blas { return ConvolutionBLAS(shape, kernels).scratchCount }
    return Self.passes.filter { !shape.planar || $0 != CNN_CONV_BACKWARD_DATA }.reduce(0) { most, pass in
      guard let algorithm = algorithm(pass) else { return most }
      return max(most, withUnsafePointer(to: shape) { Int(algorithm.pointee.scratch($0, pass)) })
    }
  }

  private func preparedCount(_ pass: cnn_conv_pass) -> Int {
    guard !shape.planar || pass != CNN_CONV_BACKWARD_DATA, let algorithm = algorithm(pass) else { return 0 }
    let count = withUnsafePointer(to: shape) { Int(algorithm.pointee.prepared($0, pass)) }
    return (count + 15) / 16 * 16
  }

  /// Whether forward can end with a pool by itself.
  private var pools: Bool { algorithm(CNN_CONV_FORWARD)?.pointee.pools ?? false }

  /// Floats of the whole wave's y that are needed beside scratch where a pool follows which the algorithm
  /// can't do in its own pass.
  var unpooledCount: Int { pools ? 0 : outputFloats * shape.n }

  /// Floats of y of an image.
  var outputFloats: Int { (shape.oc + 15) / 16 * 16 * shape.outputArea }

  // MARK: Passes

  /// Overwrites `prepared`, for inference only what forward reads.
  func prepare(_ prepared: UnsafeMutablePointer<Float>, weight: UnsafePointer<Float>, mode: Mode) {
    if choice == .blas { return ConvolutionBLAS(shape, kernels).prepare(prepared, weight: weight) }
    var target = prepared
    for pass in [CNN_CONV_FORWARD, CNN_CONV_BACKWARD_DATA] where mode == .training || pass == CNN_CONV_FORWARD
    {
      let count = preparedCount(pass)
      guard count > 0, let algorithm = algorithm(pass) else { continue }
      withUnsafePointer(to: shape) { algorithm.pointee.prepare($0, pass, target, weight) }
      target += count
    }
  }

  /// y = w ∗ x + bias for the whole wave, then what else the ending says. Overwrites y.
  func forward(
    y: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    ending: cnn_conv_ending, wave: Wave, prepared: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    if ending.pool && !pools {
      var plain = ending
      plain.pool = false
      forward(
        y: scratch, x: x, weight: weight, ending: plain, wave: wave, prepared: prepared,
        scratch: scratch + unpooledCount)
      return pool(scratch, into: y)
    }
    guard let algorithm = algorithm(CNN_CONV_FORWARD) else {
      for images in wave.microbatches {
        ConvolutionBLAS(shape(of: images), kernels)
          .forward(y: y, x: x, prepared: prepared, ending: ending, scratch: scratch)
      }
      return
    }
    calls(wave) { shape in
      withUnsafePointer(to: ending) { algorithm.pointee.forward(shape, y, x, weight, prepared, $0, scratch) }
    }
  }

  /// One call of a kernel for the whole wave, or one for each microbatch where the lane wants to pause: what comes out
  /// for an image is the same.
  private func calls(_ wave: Wave, _ body: (UnsafePointer<ConvolutionShape>) -> Void) {
    guard let pause = wave.pause else { return withUnsafePointer(to: shape, body) }
    for images in wave.microbatches {
      withUnsafePointer(to: shape(of: images), body)
      pause()
    }
  }

  /// The max over 2×2.
  private func pool(_ unpooled: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
    var windows = cnn_pooling_shape(
      planes: (shape.oc + 15) / 16 * shape.n, ih: shape.oh, iw: shape.ow, oh: shape.oh / 2, ow: shape.ow / 2,
      kh: 2, kw: 2, sh: 2, sw: 2, ph: 0, pw: 0, dh: 1, dw: 1, count_include_pad: false)
    cnn_pooling_kernels_for(kernels.kernelTable).pointee.max_forward(y, nil, unpooled, &windows)
  }

  /// Overwrites dx of the whole wave.
  func backwardData(
    dx: UnsafeMutablePointer<Float>, dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, wave: Wave,
    prepared: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    guard let algorithm = algorithm(CNN_CONV_BACKWARD_DATA) else {
      for images in wave.microbatches {
        ConvolutionBLAS(shape(of: images), kernels)
          .backwardData(dx: dx, dy: dy, prepared: prepared, scratch: scratch)
      }
      return
    }
    let weights = prepared + preparedCount(CNN_CONV_FORWARD)
    calls(wave) { algorithm.pointee.backward_data($0, dx, dy, weight, weights, scratch) }
  }

  /// How many images at a time backward weights can take (`cnn_conv_algorithm.parts`); 0 where it can't.
  var parts: Int { algorithm(CNN_CONV_BACKWARD_WEIGHTS).map { Int($0.pointee.parts) } ?? 0 }

  /// Floats of a part of dy, behind as many doubles as there are output channels: a multiple of 16.
  var partCount: Int { parts == 0 ? 0 : biasSumsCount + parts * outputFloats }
  var biasSumsCount: Int { 2 * ((shape.oc + 15) / 16 * 16) }

  /// A part of the sum over the images of one microbatch, whose gradients lie by themselves in `dy`. Overwrites dWeight
  /// where it is the first; otherwise the sum goes on from there.
  func backwardWeights(
    part images: Range<Int>, isFirst: Bool, dWeight: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>,
    dy: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    guard let algorithm = algorithm(CNN_CONV_BACKWARD_WEIGHTS), algorithm.pointee.parts > 0 else {
      preconditionFailure("the algorithm for \(shape) takes no parts")
    }
    var part = shape(of: images)
    part.dy_alone = true
    part.continues = !isFirst
    algorithm.pointee.backward_weights(&part, dWeight, x, dy, scratch)
  }

  /// Overwrites dWeight with the sum over the images of one microbatch.
  func backwardWeights(
    dWeight: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, dy: UnsafePointer<Float>,
    images: Range<Int>, scratch: UnsafeMutablePointer<Float>
  ) {
    let part = shape(of: images)
    guard let algorithm = algorithm(CNN_CONV_BACKWARD_WEIGHTS) else {
      ConvolutionBLAS(part, kernels).backwardWeights(dWeight: dWeight, x: x, dy: dy, scratch: scratch)
      return
    }
    withUnsafePointer(to: part) { algorithm.pointee.backward_weights($0, dWeight, x, dy, scratch) }
  }

  /// Overwrites dWeight with the sum of the leaves' sums, as their tree adds them up; false where it can't.
  func backwardWeights(
    tree leaves: inout cnn_leaves, dWeight: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>,
    dy: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) -> Bool {
    guard let algorithm = algorithm(CNN_CONV_BACKWARD_WEIGHTS),
      let gradient = algorithm.pointee.backward_weights_of_tree
    else { return false }
    return withUnsafePointer(to: shape(of: leaves.first[0]..<leaves.first[leaves.count])) {
      gradient($0, &leaves, dWeight, x, dy, scratch)
    }
  }

  private func shape(of images: Range<Int>) -> ConvolutionShape {
    var part = shape
    part.first = images.lowerBound
    part.images = images.count
    return part
  }
}
