import CKernels
import Tensors
import Testing

/// Winograd beyond what `ConvolutionTests` asks of every algorithm: all paddings, channels and sizes with
/// and without tails, both ways of going through the tiles, and microbatches at any place in a wave.
@Suite struct WinogradTests {
  /// max|error| / max|y|.
  static let bounds: [(name: String, bound: Double)] = [
    ("winograd2", 3e-6), ("winograd4", 1e-5), ("winograd5", 1e-5),
  ]

  /// A convolution 3 × 3 of stride 1 over `images` images, with up to two more before and behind.
  static func shape(
    _ number: Int, inputs: ClosedRange<Int>, outputs: ClosedRange<Int>, side: ClosedRange<Int>
  )
    -> cnn_conv_shape
  {
    let stream = RandomStream(seed: 11, purpose: .test(number))
    var index = 0
    func draw(_ range: ClosedRange<Int>) -> Int {
      index += 1
      return range.lowerBound + stream.integer(at: index, below: range.count)
    }
    var s = cnn_conv_shape()
    (s.kh, s.kw, s.sh, s.sw, s.dh, s.dw, s.groups) = (3, 3, 1, 1, 1, 1, 1)
    (s.ic, s.oc) = (draw(inputs), draw(outputs))
    (s.ph, s.pw) = (draw(0...2), draw(0...2))
    let (below, right) = (draw(0...2), draw(0...2))
    s.ih = max(draw(side), 3 - s.ph - below)
    s.iw = max(draw(side), 3 - s.pw - right)
    (s.oh, s.ow) = (s.ih + s.ph + below - 2, s.iw + s.pw + right - 2)
    (s.first, s.images) = (draw(0...2), draw(1...4))
    s.n = s.first + s.images + draw(0...2)
    return s
  }

  /// 160 shapes whose weights are prepared, then 24 of more than 128 × 128 pairs of channels.
  static let shapes =
    (0..<100).map { shape($0, inputs: 1...40, outputs: 1...40, side: 1...17) }
    + (100..<160).map { shape($0, inputs: 1...130, outputs: 1...110, side: 1...12) }
    + (160..<184).map { shape($0, inputs: 120...280, outputs: 140...280, side: 1...7) }

  @Test(arguments: 0..<23) func allPassesAgreeWithTheYardstick(part: Int) throws {
    for shape in Self.shapes[(8 * part)..<(8 * part + 8)] { try Self.compare(shape) }
  }

  /// So many tiles that the wide way takes them in two goes: its weight gradients are then added up.
  @Test func manyTilesOfManyChannels() throws {
    var shape = Self.shape(1, inputs: 600...600, outputs: 30...30, side: 51...51)
    (shape.n, shape.first, shape.images) = (1, 0, 1)
    try Self.compare(shape)
  }

  static func compare(_ shape: cnn_conv_shape) throws {
    let test = ConvolutionCase(shape, hasBias: shape.ic % 2 == 0)
    let reference = try #require(cnn_conv_algorithm_named(CNN_ISA_REF, "ref")).pointee
    for pass in ConvolutionCase.Pass.allCases {
      let expected = try #require(test.run(reference, pass)).values
      let cut = pass == .forward ? test.cut : 1
      for (set, algorithm, bound) in Self.algorithms {
        let got = try #require(test.run(algorithm, pass))
        let count = ConvolutionCase.count(pass, shape)
        let error = ConvolutionTests.difference(got.values, expected, count)
        #expect(
          !got.overrun && error <= bound * cut,
          "\(String(cString: algorithm.name)) \(pass) on \(set): error \(error), overrun \(got.overrun): \(test)"
        )
      }
    }
  }

  static var algorithms: [(set: InstructionSet, algorithm: cnn_conv_algorithm, bound: Double)] {
    ConvolutionTests.sets.flatMap { set in
      bounds.compactMap { entry in
        cnn_conv_algorithm_named(set.kernelTable, entry.name).map { (set, $0.pointee, entry.bound) }
      }
    }
  }

  /// What a call computes has the same bits wherever its images lie in a wave, weight gradients too.
  @Test(arguments: [1, 5, 120, 165]) func bitsDontDependOnThePlaceInTheWave(number: Int) throws {
    var (alone, within) = (Self.shapes[number], Self.shapes[number])
    (alone.images, alone.n, alone.first) = (3, 3, 0)
    (within.images, within.n, within.first) = (3, 8, 4)
    // The values are drawn image by image, so both hold the same.
    let (one, many) = (ConvolutionCase(alone, hasBias: true), ConvolutionCase(within, hasBias: true))
    for (set, algorithm, _) in Self.algorithms {
      for pass in ConvolutionCase.Pass.allCases {
        let left = Self.written(try #require(one.run(algorithm, pass)).values, pass, alone)
        let right = Self.written(try #require(many.run(algorithm, pass)).values, pass, within)
        #expect(left == right, "\(String(cString: algorithm.name)) \(pass) on \(set): \(many)")
        #expect(!left.isEmpty)
      }
    }
  }

  /// The bits of a result that belong to the call's images.
  private static func written(
    _ values: FloatBuffer, _ pass: ConvolutionCase.Pass, _ s: cnn_conv_shape
  ) -> [UInt32] {
    guard pass != .backwardWeights else {
      return (0..<ConvolutionCase.count(pass, s)).map { values[$0].bitPattern }
    }
    let (channels, area) = pass == .forward ? (s.oc, s.oh * s.ow) : (s.ic, s.ih * s.iw)
    return (s.first..<(s.first + s.images)).flatMap { image in
      ConvolutionCase.places(image, channels, area, s.n, planar: false).map { values[$0.index].bitPattern }
    }
  }

  /// Other kernels, strides, dilations, groups, wider borders and planar images are not for it.
  @Test func onlyWhatItCanDoFits() throws {
    let fitting = Self.shape(0, inputs: 8...8, outputs: 8...8, side: 8...8)
    let changes: [(inout cnn_conv_shape) -> Void] = [
      { $0.kh = 1 }, { $0.kw = 5 }, { $0.sh = 2 }, { $0.sw = 2 }, { $0.dh = 2 }, { $0.dw = 2 },
      { $0.groups = 2 }, { $0.ph = 3 }, { $0.pw = 3 }, { $0.planar = true },
    ]
    for (_, algorithm, _) in Self.algorithms {
      for pass in ConvolutionCase.Pass.allCases {
        var shape = fitting
        #expect(algorithm.fits(&shape, pass.constant))
        for (index, change) in changes.enumerated() {
          shape = fitting
          change(&shape)
          #expect(!algorithm.fits(&shape, pass.constant), "change \(index)")
        }
      }
    }
  }
}
