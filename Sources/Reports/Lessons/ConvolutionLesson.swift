import Foundation

extension LessonTopic {
  static let convolution = LessonTopic(
    name: "convolution", sentence: "What a convolution does to a picture, window by window.",
    make: ConvolutionLesson.make)
}

/// A 3×3 kernel over a 5×5 picture, and classical kernels over a real one.
enum ConvolutionLesson {
  static let picture: [[Float]] = [
    [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0],
  ]
  static let edges: [[Float]] = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
  static let sobel: [[Float]] = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]

  /// Kernels that people made before networks learned them.
  static let classical: [(name: String, kernel: [[Float]])] = [
    ("Sobel, across", sobel),
    ("Sobel, down", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    ("Laplacian", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    ("sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    ("Gaussian, σ = 1.5", weights(side: 7, gaussian)), ("Gabor, 45°", weights(side: 7, gabor)),
  ]

  private static func gaussian(_ x: Double, _ y: Double) -> Double {
    exp(-(x * x + y * y) / (2 * 2.25)) / 14.137
  }

  /// A wave of 4 pixels along the diagonal, under a bell of σ = 2.
  private static func gabor(_ x: Double, _ y: Double) -> Double {
    let along: Double = (x + y) / 2.0.squareRoot()
    return exp(-(x * x + y * y) / 8) * cos(along * Double.pi / 2) / 6
  }

  private static func weights(side: Int, _ rule: (Double, Double) -> Double) -> [[Float]] {
    (0..<side).map { y in (0..<side).map { x in Float(rule(Double(x - side / 2), Double(y - side / 2))) } }
  }

  static func turned(_ kernel: [[Float]]) -> [[Float]] { kernel.reversed().map { $0.reversed() } }

  static func make(_ input: LessonInput) throws -> Lesson {
    let x = Batch(rows: picture)
    let y = try input.engine.convolve(x, edges)
    let (crossed, truly) = (
      try input.engine.convolve(x, sobel), try input.engine.convolve(x, turned(sobel))
    )
    let grey = input.grey
    let answers = try classical.map { try input.engine.convolve(grey, $0.kernel) }
    let columns = y.shape[3]
    let maps: [any Panel] = [
      HeatMap("input x, 5×5", x.doubles, columns: 5, scale: .sequential(0...1)),
      HeatMap("kernel w, 3×3", edges.joined().map(Double.init), columns: 3),
      HeatMap(
        "output y, \(y.shape[2])×\(columns)", y.doubles, columns: columns, note: "8 · middle − neighbours"),
      HeatMap(
        "Sobel, as networks do it", crossed.doubles, columns: crossed.shape[3], note: "cross-correlation"),
      HeatMap("true convolution", truly.doubles, columns: truly.shape[3], note: "the kernel turned by 180°"),
    ]
    let images = zip(classical, answers).map { entry, answer -> ImageMontage.Item in
      .init(
        Raster(
          answer.doubles, width: answer.shape[3], scale: .grey(over: answer.doubles), theme: .light),
        entry.name)
    }
    let source = ImageMontage.Item(Raster(input.image), input.imageName)
    let steps = stepper(x, y)
    return Lesson(
      """
      A convolution slides a small kernel over a picture. At each place it multiplies the pixels below it by
      the kernel's weights and adds up: one number of the output. The same few weights serve everywhere.

        continuous   (f ∗ g)(t) = ∫ f(τ) g(t − τ) dτ
        discrete     y[i, j] = Σ w[a, b] · x[i − a, j − b]
        in networks  y[i, j] = Σ w[a, b] · x[i + a, j + b]     (cross-correlation: the kernel isn't turned)

      The kernel −1 −1 −1 / −1 8 −1 / −1 −1 −1 gives 0 where all nine pixels are equal, and much at edges:

      \(grid(y))

      Sobel's kernel by cross-correlation, and by true convolution: other signs, since it is odd.

      \(grid(crossed))

      \(grid(truly))
      """,
      Figure(
        "Convolution: a small kernel over a picture",
        maps + [
          ImageMontage("Classical kernels on \(input.imageName)", [source] + images, columns: 7, side: 108)
        ],
        caption: "y[i, j] = Σ w[a, b] · x[i + a, j + b]. Blue is below zero, orange above."),
      numbers: [
        "output": y.doubles, "cross_correlation": crossed.doubles, "true_convolution": truly.doubles,
      ],
      steps: steps)
  }

  /// A picture for each place of the window.
  private static func stepper(_ x: Batch, _ y: Batch) -> [Figure] {
    let columns = y.shape[3]
    return y.values.indices.map { place in
      let (row, column) = (place / columns, place % columns)
      let seen = y.doubles.enumerated().map { $0.offset <= place ? $0.element : .nan }
      let window = (0..<9).map { x.values[(row + $0 / 3) * x.shape[3] + column + $0 % 3] }
      let product = zip(window, edges.joined()).map { Double($0 * $1) }
      return Figure(
        "Place \(place + 1) of \(y.values.count): row \(row + 1), column \(column + 1)",
        [
          HeatMap(
            "input", x.doubles, columns: x.shape[3], scale: .sequential(0...1),
            marks: [.init(rows: row..<(row + 3), columns: column..<(column + 3))]),
          HeatMap("window · kernel", product, columns: 3, scale: .diverging(limit: 8)),
          HeatMap(
            "output", seen, columns: columns, scale: .diverging(over: y.doubles),
            marks: [.init(rows: row..<(row + 1), columns: column..<(column + 1))]),
        ],
        caption: "The nine products add up to \(HeatMap.text(y.doubles[place], digits: 0)).")
    }
  }

  /// Numbers as rows of text.
  static func grid(_ batch: Batch, digits: Int = 0) -> String {
    let columns = batch.shape[3]
    return stride(from: 0, to: batch.channel(0).count, by: columns).map { first in
      "  "
        + batch.channel(0)[first..<(first + columns)].map { value in
          let text = HeatMap.text(value, digits: digits)
          return String(repeating: " ", count: max(0, 6 + digits - text.count)) + text
        }.joined()
    }.joined(separator: "\n")
  }
}
