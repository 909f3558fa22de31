import Foundation
import Layers
import Tensors

extension LessonTopic {
  static let matrix = LessonTopic(
    name: "matrix", sentence: "A convolution is a matrix with few, tied numbers; backward is its transpose.",
    make: MatrixLesson.make)
}

/// The Toeplitz matrix of a convolution, found by what the engine does to unit pictures; im2col; the adjoint.
enum MatrixLesson {
  static let kernel: [[Float]] = [[1, 2, 1], [0, 4, 0], [-1, -2, -1]]
  private static let side = 4

  /// Column j is the convolution of the picture that is 1 at pixel j and 0 elsewhere.
  static func toeplitz(_ engine: any LessonEngine) throws -> [[Double]] {
    let pixels = side * side
    let columns = try (0..<pixels).map { pixel in
      var values = [Float](repeating: 0, count: pixels)
      values[pixel] = 1
      return try engine.convolve(Batch([1, 1, side, side], values), kernel).doubles
    }
    return (columns.first ?? []).indices.map { row in columns.map { $0[row] } }
  }

  /// Nine filters of 3×3 at right angles and of length 1: products of cosines, the smoothest first.
  static let basis: [[[Float]]] = {
    func wave(_ frequency: Int, _ place: Int) -> Double {
      (frequency == 0 ? (1.0 / 3).squareRoot() : (2.0 / 3).squareRoot())
        * cos(Double.pi / 3 * (Double(place) + 0.5) * Double(frequency))
    }
    let order = (0..<9).sorted { ($0 / 3 + $0 % 3, $0) < ($1 / 3 + $1 % 3, $1) }
    return order.map { number in
      (0..<3).map { y in (0..<3).map { x in Float(wave(number / 3, y) * wave(number % 3, x)) } }
    }
  }()

  /// A window of the picture in that basis: how much of each filter is in it, by the engine's convolutions, and the
  /// window built again of the `count` filters that it has most of.
  private static func coordinates(
    _ engine: any LessonEngine, _ window: Batch
  ) throws -> (answers: [Double], rebuilt: (Int) -> [Double]) {
    let answers = try basis.map { try engine.convolve(window, $0).doubles.first ?? .nan }
    return (
      answers,
      { count in
        let strongest = answers.indices.sorted { abs(answers[$0]) > abs(answers[$1]) }.prefix(count)
        return (0..<9).map { place in
          strongest.reduce(0) { $0 + answers[$1] * Double(basis[$1][place / 3][place % 3]) }
        }
      }
    )
  }

  /// 3×3 pixels of the user's picture, where it varies most.
  private static func window(of input: LessonInput) throws -> Batch {
    let grey = input.grey
    let (height, width) = (grey.shape[2], grey.shape[3])
    guard height >= 3, width >= 3 else {
      throw LessonError("matrix expects an image of at least 3 × 3 pixels, got \(height) × \(width)")
    }
    func pixels(_ top: Int, _ left: Int) -> [Float] {
      (0..<9).map { grey.values[(top + $0 / 3) * width + left + $0 % 3] }
    }
    var (best, most) = (pixels(0, 0), -1.0)
    for top in stride(from: 0, through: height - 3, by: 2) {
      for left in stride(from: 0, through: width - 3, by: 2) {
        let variance = LessonText.variance(pixels(top, left).map(Double.init))
        if variance > most { (best, most) = (pixels(top, left), variance) }
      }
    }
    return Batch([1, 1, 3, 3], best)
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    let engine = input.engine
    let matrix = try toeplitz(engine)
    let stream = RandomStream(seed: 8, purpose: .synthesis)
    let x = Batch([1, 1, side, side], (0..<16).map { stream.normal(at: $0) })
    let y = Batch([1, 1, 2, 2], (16..<20).map { stream.normal(at: $0) })
    let layer = Conv2d(outputChannels: 1, kernel: 3, bias: false)
    let weight = Tensor(shape: [1, 1, 3, 3], values: kernel.flatMap { $0 })
    let result = try engine.run(
      layer, [x], parameters: [weight], statistics: [], mode: .training, outputGradient: y, epoch: 0)
    let kx = result.output.doubles
    let kty = result.inputGradient?.doubles ?? []
    func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    let (left, right) = (dot(kx, y.doubles), dot(x.doubles, kty))
    let byMatrix = matrix.map { dot($0, x.doubles) }
    // im2col: a column for each place of the window.
    let patches = (0..<9).map { tap in
      (0..<4).map { place in x.doubles[(place / 2 + tap / 3) * side + place % 2 + tap % 3] }
    }
    let gap = zip(byMatrix, kx).map { abs($0 - $1) }.max() ?? 0
    let zeros = matrix.joined().filter { $0 == 0 }.count
    let window = try window(of: input)
    let (answers, rebuilt) = try coordinates(engine, window)
    let gaps = (1...9).map { LessonText.relativeDistance(rebuilt($0), window.doubles) }
    return Lesson(
      """
      A convolution is linear, so it is a matrix: y = K x. Here of 4×4 pictures by a 3×3 kernel: 4 rows, 16 columns,
      found by convolving sixteen pictures with a single 1. Of its 64 numbers \(zeros) are zero, and the others are nine
      weights again and again (a doubly blocked Toeplitz matrix: sparse and tied).

        max |K x − convolution of x| = \(LessonText.scientific(gap))

      im2col turns it round: the windows become columns of a 9 × 4 matrix, and the kernel one row: y = w · im2col(x),
      a product that BLAS knows. So each output is the inner product of a window with the kernel: how much of the filter
      is in the window. Nine filters at right angles are a basis of all 3×3 windows: their answers ⟨w, φₖ⟩ are the
      window's coordinates, and w = Σ ⟨w, φₖ⟩ φₖ. What is missing of a window of \(input.imageName) when only the
      strongest are kept, ‖rebuilt − w‖ / ‖w‖: \([1, 3, 5, 9].map { "\($0) of 9: \(LessonText.number(gaps[$0 - 1], 3))" }.joined(separator: ", ")).

      Backward is the transpose. For random x and y, with Kᵀy from the engine's backward pass:

        ⟨K x, y⟩ = \(LessonText.number(left, 6))     ⟨x, Kᵀ y⟩ = \(LessonText.number(right, 6))
      """,
      Figure(
        "Convolution as a matrix",
        [
          HeatMap("kernel w", kernel.joined().map(Double.init), columns: 3),
          HeatMap("K: sparse and tied", matrix.joined().map { $0 }, columns: 16, cell: 30),
          HeatMap("x", x.doubles, columns: 4, digits: 1, cell: 34),
          HeatMap(
            "im2col(x), a column for each window", patches.joined().map { $0 }, columns: 4, digits: 1,
            cell: 34),
          HeatMap("K x", kx, columns: 2, digits: 2, cell: 46),
          HeatMap("Kᵀ y, from backward", kty, columns: 4, digits: 1, cell: 34),
          HeatMap("a window w of the image", window.doubles, columns: 3, scale: .grey(0...1), digits: 2),
          ImageMontage(
            "A basis: nine filters φ, and how much of each is in w",
            zip(basis, answers).map { filter, answer in
              let plane = filter.joined().map(Double.init)
              return .init(
                Raster(plane, width: 3, scale: .grey(-0.7...0.7), theme: .light), LessonText.number(answer, 3)
              )
            }, columns: 9, side: 50),
          HeatMap("w of the strongest 3", rebuilt(3), columns: 3, scale: .grey(0...1), digits: 2),
          HeatMap("w of all 9", rebuilt(9), columns: 3, scale: .grey(0...1), digits: 2),
        ], caption: "⟨Kx, y⟩ = \(LessonText.number(left, 5)), ⟨x, Kᵀy⟩ = \(LessonText.number(right, 5))."),
      numbers: [
        "matrix": matrix.flatMap { $0 }, "inner_products": [left, right], "by_matrix": byMatrix,
        "by_engine": kx, "coordinates": answers, "rebuilt_gaps": gaps, "window": window.doubles,
      ])
  }
}
