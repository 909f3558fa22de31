import Layers
import Tensors

/// A convolution by seven loops in double precision, straight from the definition, over (N, C, H, W).
struct ReferenceConvolution {
  var y: [Double]
  var dx: [Double]
  var dWeight: [Double]
  var dBias: [Double]

  init(_ layer: Conv2d, x: Tensor, weight: Tensor, bias: Tensor?, dy: Tensor) {
    let (n, ic, ih, iw) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    let (oc, oh, ow) = (dy.shape[1], dy.shape[2], dy.shape[3])
    let (depth, kh, kw) = (weight.shape[1], weight.shape[2], weight.shape[3])
    let (above, left) = layer.zerosBefore
    var (y, dx) = (Array(repeating: 0.0, count: dy.shape.count), Array(repeating: 0.0, count: x.shape.count))
    var (dWeight, dBias) = (
      Array(repeating: 0.0, count: weight.shape.count), Array(repeating: 0.0, count: oc)
    )
    x.values.withUnsafeBufferPointer { x in
      weight.values.withUnsafeBufferPointer { w in
        dy.values.withUnsafeBufferPointer { dy in
          for image in 0..<n {
            for o in 0..<oc {
              for i in 0..<oh {
                for j in 0..<ow {
                  let at = ((image * oc + o) * oh + i) * ow + j
                  let gradient = Double(dy[at])
                  var sum = bias.map { Double($0.values[o]) } ?? 0
                  dBias[o] += gradient
                  for c in 0..<depth {
                    let channel = o / (oc / layer.groups) * depth + c
                    for a in 0..<kh {
                      let row = i * layer.stride.height + a * layer.dilation.height - above
                      if row < 0 || row >= ih { continue }
                      for b in 0..<kw {
                        let column = j * layer.stride.width + b * layer.dilation.width - left
                        if column < 0 || column >= iw { continue }
                        let source = ((image * ic + channel) * ih + row) * iw + column
                        let tap = ((o * depth + c) * kh + a) * kw + b
                        sum += Double(w[tap]) * Double(x[source])
                        dx[source] += Double(w[tap]) * gradient
                        dWeight[tap] += Double(x[source]) * gradient
                      }
                    }
                  }
                  y[at] = sum
                }
              }
            }
          }
        }
      }
    }
    (self.y, self.dx, self.dWeight, self.dBias) = (y, dx, dWeight, dBias)
  }
}

extension Conv2d {
  /// PyTorch's rule for `same`: of d·(k − 1) zeros the smaller half goes before.
  fileprivate var zerosBefore: (above: Int, left: Int) {
    switch padding {
    case .explicit(let size): (size.height, size.width)
    case .same: (dilation.height * (kernel.height - 1) / 2, dilation.width * (kernel.width - 1) / 2)
    }
  }
}

/// A layer and the input that it is tried on.
struct ConvolutionCase: CustomStringConvertible {
  let layer: Conv2d
  let input: Shape

  var description: String { "\(layer) on \(input)" }

  /// Arrays of random numbers: x, the parameters, dy.
  func arrays() throws -> (x: Tensor, parameters: [Tensor], dy: Tensor) {
    let x = Tensor.random(input, number: 1)
    let shape = FeatureShape(ofBatch: x)
    let y = try layer.outputShape(of: [shape])
    let parameters = layer.parameters(for: [shape]).enumerated().map {
      Tensor.random($1.shape, number: 2 + $0)
    }
    return (x, parameters, Tensor.random([input[0], y.channels, y.height, y.width], number: 9))
  }

  /// Every combination that a shape list by hand would forget: 160 drawn at random, small, with odd tails.
  static let drawn: [ConvolutionCase] = (0..<160).map { number in
    let stream = RandomStream(seed: 3, purpose: .test(1000 + number))
    var index = 0
    func draw(_ range: ClosedRange<Int>) -> Int {
      index += 1
      return range.lowerBound + stream.integer(at: index, below: range.count)
    }
    let groups = [1, 1, 1, 2, 3][draw(0...4)]
    let depthwise = draw(0...3) == 0
    let channels = depthwise ? draw(2...5) : groups * draw(1...3)
    let kernel = Size2D(draw(1...5), draw(1...5))
    let same = draw(0...4) == 0
    let dilation = Size2D([1, 1, 2, 3][draw(0...3)], [1, 1, 2][draw(0...2)])
    let padding = Size2D(draw(0...3), draw(0...3))
    let least = Size2D(
      max(1, dilation.height * (kernel.height - 1) + 1 - 2 * padding.height),
      max(1, dilation.width * (kernel.width - 1) + 1 - 2 * padding.width))
    return ConvolutionCase(
      layer: Conv2d(
        outputChannels: depthwise ? channels * draw(1...2) : groups * draw(1...5), kernel: kernel,
        stride: same ? 1 : Size2D(draw(1...3), draw(1...4)), padding: same ? .same : .explicit(padding),
        dilation: dilation, groups: depthwise ? channels : groups, bias: draw(0...1) == 0),
      input: [draw(1...5), channels, least.height + draw(0...7), least.width + draw(0...19)])
  }

  var isWide: Bool { min(input[1], layer.outputChannels) >= 16 }

  /// Enough channels for Winograd's algorithms, for several blocks and panels, and linear layers in disguise.
  static let wide: [ConvolutionCase] = [
    .init(layer: Conv2d(outputChannels: 17, kernel: 3, padding: .explicit(1)), input: [2, 33, 14, 14]),
    .init(
      layer: Conv2d(outputChannels: 40, kernel: 3, padding: .explicit(1), bias: false), input: [3, 16, 7, 8]),
    .init(layer: Conv2d(outputChannels: 48, kernel: 3, padding: .explicit(2)), input: [1, 20, 9, 5]),
    .init(layer: Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1)), input: [5, 19, 2, 2]),
    .init(layer: Conv2d(outputChannels: 70, kernel: 1), input: [2, 35, 6, 5]),
    .init(layer: Conv2d(outputChannels: 36, kernel: 1, stride: 2, bias: false), input: [2, 24, 7, 7]),
    .init(layer: Conv2d(outputChannels: 34, kernel: Size2D(3, 4)), input: [5, 18, 3, 4]),
    .init(
      layer: Conv2d(outputChannels: 36, kernel: 3, padding: .explicit(1), groups: 18), input: [2, 18, 6, 7]),
    .init(layer: Conv2d(outputChannels: 40, kernel: 3, stride: 2, groups: 2), input: [2, 36, 8, 9]),
  ]

  /// First layers.
  static let stems: [ConvolutionCase] = [
    .init(layer: Conv2d(outputChannels: 32, kernel: 3, padding: .explicit(1)), input: [3, 3, 16, 18]),
    .init(
      layer: Conv2d(outputChannels: 64, kernel: 7, stride: 2, padding: .explicit(3)), input: [2, 3, 21, 22]),
    .init(layer: Conv2d(outputChannels: 6, kernel: 5, padding: .explicit(2)), input: [5, 1, 14, 13]),
  ]

  /// Shapes whose positions are cut into several blocks: of images, of rows, with short last ones.
  static let cut: [ConvolutionCase] = [
    .init(layer: Conv2d(outputChannels: 3, kernel: 3, padding: .explicit(1)), input: [5, 64, 11, 11]),
    .init(layer: Conv2d(outputChannels: 3, kernel: 5, padding: .explicit(2)), input: [2, 24, 23, 17]),
    .init(
      layer: Conv2d(outputChannels: 2, kernel: 5, stride: 2, padding: .explicit(1)), input: [3, 24, 37, 45]),
    .init(layer: Conv2d(outputChannels: 4, kernel: Size2D(7, 3), padding: .same), input: [1, 30, 19, 33]),
    .init(layer: Conv2d(outputChannels: 2, kernel: 5, groups: 2), input: [3, 48, 21, 21]),
    .init(
      layer: Conv2d(outputChannels: 2, kernel: Size2D(9, 9), padding: .explicit(4)), input: [1, 8, 7, 300]),
  ]
}
