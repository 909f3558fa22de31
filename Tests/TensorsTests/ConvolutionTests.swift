import CKernels
import Tensors
import Testing

/// Every algorithm × pass × instruction set against `ref`, which adds in double.
@Suite struct ConvolutionTests {
  static let sets = InstructionSet.allCases.filter { $0 <= .detected }

  static func algorithms(_ set: InstructionSet) -> [cnn_conv_algorithm] {
    var count = 0
    guard let table = cnn_conv_algorithms(set.kernelTable, &count) else { return [] }
    return (0..<count).compactMap { table[$0]?.pointee }
  }

  /// The same, and those of bf16 as a CPU has them that must emulate it.
  static func allAlgorithms(_ set: InstructionSet) -> [cnn_conv_algorithm] {
    var count = 0
    guard let table = cnn_conv_algorithms_without_bf16(set.kernelTable, &count) else { return [] }
    return algorithms(set) + (0..<count).compactMap { table[$0]?.pointee }.filter(rounds)
  }

  /// Whether an algorithm rounds what it multiplies to bf16.
  static func rounds(_ algorithm: cnn_conv_algorithm) -> Bool {
    String(cString: algorithm.name).contains("bf16")
  }

  /// max|error| / max|y|. Weight gradients of wide images are chains of 10,000 products, one by one.
  static func bound(_ name: String, _ kind: ConvolutionKind) -> Double {
    ["stem": 1e-5, "stem_bf16": 1e-5, "winograd4": 1e-5, "winograd5": 1e-5][name]
      ?? (kind == .wide ? 1e-5 : 3e-6)
  }

  @Test func theTableBeginsWithTheYardstickAndFindsAllByName() {
    for set in Self.sets {
      let names = Self.algorithms(set).map { String(cString: $0.name) }
      #expect(names.first == "ref")
      #expect(Set(names).count == names.count)
      for name in names {
        let found = cnn_conv_algorithm_named(set.kernelTable, name)
        #expect(found.map { String(cString: $0.pointee.name) } == name)
      }
      #expect(cnn_conv_algorithm_named(set.kernelTable, "im2col") == nil)
    }
  }

  /// The definition itself, on a shape small enough to do by hand.
  @Test func theYardstickIsTheDefinition() throws {
    var s = cnn_conv_shape()
    (s.n, s.ic, s.ih, s.iw, s.oc, s.oh, s.ow) = (1, 1, 2, 2, 1, 2, 1)
    (s.kh, s.kw, s.sh, s.sw, s.ph, s.pw, s.dh, s.dw) = (2, 2, 1, 2, 1, 0, 1, 1)
    (s.groups, s.images, s.first) = (1, 1, 0)
    let test = ConvolutionCase(s, hasBias: true)
    for (index, value) in [Float(1), 2, 3, 4].enumerated() {
      test.x.pointer[index * 16] = value
      test.weight.pointer[index * 16] = value * 10
    }
    for (index, value) in [Float(5), 7].enumerated() { test.dy.pointer[index * 16] = value }
    test.bias?.pointer[0] = 0.5
    let reference = try #require(Self.algorithms(.ref).first)
    let y = try #require(test.run(reference, .forward)).values
    // 30·1 + 40·2 and 10·1 + 20·2 + 30·3 + 40·4, the bias 0.5, the residual 5 and 7; nothing for the ReLU.
    let outputs: [Float] = [115.5, 307.5]
    #expect([y[0], y[16]] == outputs)
    let dx = try #require(test.run(reference, .backwardData)).values
    let inputGradients: [Float] = [220, 340, 210, 280]  // 5·30 + 7·10, 5·40 + 7·20, 7·30, 7·40
    #expect((0..<4).map { dx[$0 * 16] } == inputGradients)
    let dw = try #require(test.run(reference, .backwardWeights)).values
    let weightGradients: [Float] = [7, 14, 26, 38]  // 7·1, 7·2, 5·1 + 7·3, 5·2 + 7·4
    #expect((0..<4).map { dw[$0 * 16] } == weightGradients)
  }

  /// Values, zeros in the lanes of channels that don't exist, nothing written beside the call's images
  /// (both NaN) or beyond what was asked for.
  @Test(arguments: ConvolutionKind.allCases)
  func allAgreeWithTheYardstick(kind: ConvolutionKind) throws {
    let reference = try #require(Self.algorithms(.ref).first)
    for number in 0..<(kind == .wide ? 6 : 60) {
      let test = ConvolutionCase(kind.shape(number), hasBias: number % 2 == 0)
      let rounded = test.factorsRoundedToBF16()
      for pass in ConvolutionCase.Pass.allCases {
        guard let exact = test.run(reference, pass), let ofRounded = rounded.run(reference, pass) else {
          continue
        }
        for set in Self.sets {
          for algorithm in Self.allAlgorithms(set).dropFirst() {
            guard let got = test.run(algorithm, pass) else { continue }
            let expected = Self.rounds(algorithm) ? ofRounded : exact
            let name = String(cString: algorithm.name)
            let difference = Self.difference(
              got.values, expected.values, ConvolutionCase.count(pass, test.shape))
            #expect(
              !got.overrun && difference <= Self.bound(name, kind),
              "\(name) \(pass) on \(set): error \(difference), overrun \(got.overrun): \(test)")
          }
        }
      }
    }
  }

  /// Linear layers of more weights than a chunk holds, and than gradients go through the caches with.
  @Test(arguments: [17, 40])
  func largeLinearLayersAgreeWithTheYardstick(images: Int) throws {
    let reference = try #require(Self.algorithms(.ref).first)
    var shape = cnn_conv_shape()
    (shape.n, shape.first, shape.images, shape.groups) = (images + 2, 1, images, 1)
    (shape.ic, shape.ih, shape.iw, shape.oc, shape.oh, shape.ow) = (1500, 1, 1, 1410, 1, 1)
    (shape.kh, shape.kw, shape.sh, shape.sw, shape.dh, shape.dw) = (1, 1, 1, 1, 1, 1)
    let test = ConvolutionCase(shape, hasBias: true)
    for pass in ConvolutionCase.Pass.allCases {
      let expected = try #require(test.run(reference, pass))
      for set in Self.sets {
        for name in ["dense", "pointwise"] {
          let algorithm = try #require(cnn_conv_algorithm_named(set.kernelTable, name)).pointee
          let got = try #require(test.run(algorithm, pass))
          let difference = Self.difference(
            got.values, expected.values, ConvolutionCase.count(pass, test.shape))
          #expect(!got.overrun && difference <= 3e-6, "\(name) \(pass) on \(set): error \(difference)")
        }
      }
    }
  }

  /// More images of more channels than are packed together. Sums are chains of 9,360 products.
  @Test func manyTinyImagesAgreeWithTheYardstick() throws {
    let reference = try #require(Self.algorithms(.ref).first)
    var shape = cnn_conv_shape()
    (shape.n, shape.first, shape.images, shape.groups) = (40, 1, 38, 1)
    (shape.ic, shape.ih, shape.iw, shape.oc, shape.oh, shape.ow) = (1040, 4, 4, 40, 2, 2)
    (shape.kh, shape.kw, shape.sh, shape.sw, shape.dh, shape.dw) = (3, 3, 2, 2, 1, 1)
    (shape.ph, shape.pw) = (1, 1)
    let test = ConvolutionCase(shape, hasBias: true)
    for pass in ConvolutionCase.Pass.allCases {
      let expected = try #require(test.run(reference, pass))
      for set in Self.sets {
        let algorithm = try #require(cnn_conv_algorithm_named(set.kernelTable, "tiny")).pointee
        let got = try #require(test.run(algorithm, pass))
        let difference = Self.difference(got.values, expected.values, ConvolutionCase.count(pass, test.shape))
        #expect(!got.overrun && difference <= 1e-5, "\(pass) on \(set): error \(difference)")
      }
    }
  }

  /// max|error| / max|y|; infinite where one is NaN and the other not, or an exact zero became something.
  static func difference(_ got: FloatBuffer, _ expected: FloatBuffer, _ count: Int) -> Double {
    var (error, largest) = (Float(0), Float(0))
    for index in 0..<count {
      let (a, b) = (got.pointer[index], expected.pointer[index])
      if a.isNaN != b.isNaN { return .infinity }
      if a.isNaN { continue }
      error = max(error, abs(a - b))
      largest = max(largest, abs(b))
    }
    return largest == 0 ? Double(error) : Double(error / largest)
  }

  /// A lane keeps scratch for its whole wave and calls with the images of a microbatch.
  @Test(arguments: ConvolutionKind.allCases)
  func scratchNeverShrinksWithImages(kind: ConvolutionKind) {
    for number in 0..<20 {
      var shape = kind.shape(number)
      for set in Self.sets {
        for algorithm in Self.allAlgorithms(set) {
          for pass in ConvolutionCase.Pass.allCases {
            var least = 0
            for images in 1...40 {
              (shape.n, shape.first, shape.images) = (images, 0, images)
              guard algorithm.fits(&shape, pass.constant) else { continue }
              let needed = algorithm.scratch(&shape, pass.constant)
              #expect(
                needed >= least, "\(String(cString: algorithm.name)) \(pass), \(images) images: \(shape)")
              least = needed
            }
          }
        }
      }
    }
  }

  /// The lanes of channels that don't exist are exact zeros, whatever the algorithm.
  @Test(arguments: ConvolutionKind.allCases)
  func absentChannelsAreZero(kind: ConvolutionKind) throws {
    for number in 0..<(kind == .wide ? 1 : 12) {
      let test = ConvolutionCase(kind.shape(number), hasBias: true)
      let s = test.shape
      for set in Self.sets {
        for algorithm in Self.allAlgorithms(set) {
          let name = String(cString: algorithm.name)
          for (pass, channels, area) in [
            (ConvolutionCase.Pass.forward, s.oc, s.oh * s.ow), (.backwardData, s.ic, s.ih * s.iw),
          ] {
            guard let got = test.run(algorithm, pass) else { continue }
            let absent = (s.first..<(s.first + s.images)).flatMap {
              ConvolutionCase.places($0, channels, area, s.n, planar: false).filter { !$0.exists }
            }
            #expect(absent.allSatisfy { got.values[$0.index] == 0 }, "\(name) \(pass) on \(set): \(test)")
          }
        }
      }
    }
  }

  /// An image's outputs and input gradients have the same bits alone and among others.
  @Test(arguments: ConvolutionKind.allCases)
  func bitsDontDependOnNeighbours(kind: ConvolutionKind) throws {
    for number in 0..<(kind == .wide ? 1 : 20) {
      var together = kind.shape(number)
      (together.n, together.first, together.images) = (together.n + 3, 0, together.n + 3)
      let all = ConvolutionCase(together, hasBias: true)
      let alone = all.restricted(to: (together.n / 2)..<(together.n / 2 + 1))
      for set in Self.sets {
        for algorithm in Self.allAlgorithms(set) {
          for pass in [ConvolutionCase.Pass.forward, .backwardData] {
            guard let one = alone.run(algorithm, pass)?.values, let every = all.run(algorithm, pass)?.values
            else { continue }
            var differing = 0
            for index in 0..<ConvolutionCase.count(pass, together) where !one[index].isNaN {
              if one[index].bitPattern != every[index].bitPattern { differing += 1 }
            }
            let name = String(cString: algorithm.name)
            #expect(differing == 0, "\(name) \(pass) on \(set): \(differing) differ: \(all)")
          }
        }
      }
    }
  }
}
