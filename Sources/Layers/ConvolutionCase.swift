import CKernels
import Tensors

/// A convolution by its hyper-parameters, as a line of a shape list names it:
/// `layer1.conv ic=64 oc=64 size=28 kernel=3 padding=1`.
///
/// Keys: ic, oc, size (28 or 28x40), kernel, stride, padding, dilation, groups; ic, oc, size and kernel
/// are needed, the others default to 1 (padding to 0). `planar=1`: it reads the images themselves.
package struct ConvolutionCase: Sendable, Equatable {
  package let name: String
  package let inputChannels: Int
  package let input: Size2D
  package let isPlanar: Bool
  package let convolution: Conv2d

  /// The cases of a list: a line each, `#` begins a comment. Throws `ShapeListError` with the line.
  package static func list(_ text: String, path: String) throws(ShapeListError) -> [ConvolutionCase] {
    var cases: [ConvolutionCase] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
      guard let name = words.first else { continue }
      do {
        cases.append(try ConvolutionCase(name, words.dropFirst()))
      } catch {
        throw ShapeListError(path: path, line: number + 1, problem: error.description)
      }
    }
    guard !cases.isEmpty else { throw ShapeListError(path: path, problem: "no shape in it") }
    return cases
  }

  private static let keys = [
    "ic", "oc", "size", "kernel", "stride", "padding", "dilation", "groups", "planar",
  ]

  init(_ name: String, _ words: some Sequence<String>) throws(LayerError) {
    var given: [String: Size2D] = [:]
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, Self.keys.contains(parts[0]), let size = Self.size(parts[1]) else {
        throw LayerError(
          "expects KEY=NUMBER or KEY=HEIGHTxWIDTH with a key of \(Self.keys.joined(separator: ", ")), got \(word)"
        )
      }
      given[parts[0]] = size
    }
    func needed(_ key: String) throws(LayerError) -> Size2D {
      guard let size = given[key] else { throw LayerError("\(name) expects \(key)=…") }
      return size
    }
    self.name = name
    inputChannels = try needed("ic").height
    input = try needed("size")
    isPlanar = given["planar"] == 1
    convolution = Conv2d(
      outputChannels: try needed("oc").height, kernel: try needed("kernel"), stride: given["stride"] ?? 1,
      padding: .explicit(given["padding"] ?? 0), dilation: given["dilation"] ?? 1,
      groups: given["groups"]?.height ?? 1, bias: false)
    _ = try convolution.outputShape(of: [inputShape])
  }

  private static func size(_ text: String) -> Size2D? {
    let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    switch sides.count {
    case 1: return sides[0].map { Size2D($0, $0) }
    case 2:
      guard let height = sides[0], let width = sides[1] else { return nil }
      return Size2D(height, width)
    default: return nil
    }
  }

  package var inputShape: FeatureShape {
    FeatureShape(channels: inputChannels, height: input.height, width: input.width)
  }

  /// As kernels take it, for `images` images.
  package func shape(images: Int) -> cnn_conv_shape {
    guard let output = try? convolution.outputShape(of: [inputShape]),
      case .explicit(let padding) = convolution.padding
    else { preconditionFailure("\(name) was checked") }
    return cnn_conv_shape(
      n: images, ic: inputChannels, ih: input.height, iw: input.width, oc: convolution.outputChannels,
      oh: output.height, ow: output.width, kh: convolution.kernel.height, kw: convolution.kernel.width,
      sh: convolution.stride.height, sw: convolution.stride.width, ph: padding.height, pw: padding.width,
      dh: convolution.dilation.height, dw: convolution.dilation.width, groups: convolution.groups, first: 0,
      images: images, planar: isPlanar, dy_alone: false, continues: false)
  }
}

/// A list of shapes that can't be read.
package struct ShapeListError: Error, CustomStringConvertible {
  package let path: String
  package let line: Int?
  package let problem: String

  package init(path: String, line: Int? = nil, problem: String) {
    self.path = path
    self.line = line
    self.problem = problem
  }

  package var description: String { "\(path)\(line.map { ":\($0)" } ?? ""): \(problem)" }
}
