import Layers
import Tensors

extension LessonTopic {
  static let pooling = LessonTopic(
    name: "pooling",
    sentence: "How max and average pooling shrink a picture, and what they make it blind to.",
    make: PoolingLesson.make)
}

/// Max and average over 2×2 windows; what averages do to noise, and pools to small shifts.
enum PoolingLesson {
  static let picture: [[Float]] = [[1, 3, 2, 4], [5, 6, 7, 8], [9, 2, 3, 1], [0, 4, 5, 2]]

  static func make(_ input: LessonInput) throws -> Lesson {
    let engine = input.engine
    let x = Batch(rows: picture)
    let highest = try engine.forward(MaxPool2d(kernel: 2), x)
    let average = try engine.forward(AvgPool2d(kernel: 2), x)
    let windows = (0..<4).map { number -> HeatMap.Mark in
      let (row, column) = (number / 2 * 2, number % 2 * 2)
      return .init(rows: row..<(row + 2), columns: column..<(column + 2), series: number)
    }
    let stream = RandomStream(seed: 3, purpose: .synthesis)
    let noise = Batch([1, 1, 96, 96], (0..<(96 * 96)).map { stream.normal(at: $0) })
    let sizes = [1, 2, 3, 4, 6, 8]
    let variances = try sizes.map {
      LessonText.variance(try engine.forward(AvgPool2d(kernel: Size2D($0)), noise).doubles)
    }
    let changes = try shiftChanges(input)
    let rows: [[String]] =
      [["kept of the picture", "changed by a shift of 1 pixel"]]
      + changes.map { name, change -> [String] in [name, LessonText.number(change, 3)] }
    return Lesson(
      """
      A pool looks at a window and keeps one number: the largest, or the mean. Windows of 2×2 in steps of 2
      halve height and width, without a weight to learn.

        max      y[i, j] = max over a, b of x[2i + a, 2j + b]
        average  y[i, j] = ¼ Σ x[2i + a, 2j + b]

      This picture, its max, and its average:

      \(ConvolutionLesson.grid(x))

      \(ConvolutionLesson.grid(highest))

      \(ConvolutionLesson.grid(average, digits: 2))

      The mean of n independent values has 1/n of their variance. Measured on noise of variance 1: \
      \(zip(sizes, variances).map { "\($0)×\($0): \(LessonText.number($1))" }.joined(separator: ", ")).

      How much of \(input.imageName) changes when it moves by a pixel, ‖moved − before‖ / ‖before‖:

      \(LessonText.table(rows))
      """,
      Figure(
        "Pooling",
        [
          HeatMap("input, four windows", x.doubles, columns: 4, scale: .sequential(0...9), marks: windows),
          HeatMap("max", highest.doubles, columns: 2, scale: .sequential(0...9), cell: 48),
          HeatMap("average", average.doubles, columns: 2, scale: .sequential(0...9), digits: 2, cell: 48),
          Chart(
            "Averages tame noise",
            [
              .init(
                "variance measured", zip(sizes, variances).map { Point(Double($0 * $0), $1) },
                style: .lineAndPoints),
              .init("1/n", sizes.map { Point(Double($0 * $0), 1 / Double($0 * $0)) }, style: .ideal),
            ], x: Axis("values averaged, n", .logarithmic), y: Axis("variance", .logarithmic)),
          BarChart(
            "Change by a shift of one pixel",
            changes.map { .init($0.name, $0.change, text: LessonText.number($0.change, 3)) },
            width: 410),
        ], caption: "Each colour is a window; the pools keep one number of each."),
      numbers: [
        "max": highest.doubles, "average": average.doubles, "variances": variances,
        "shift_changes": changes.map(\.change),
      ])
  }

  private static func shiftChanges(_ input: LessonInput) throws -> [(name: String, change: Double)] {
    let grey = input.grey
    let (height, width) = (grey.shape[2], grey.shape[3])
    guard height > 12, width > 12 else {
      throw LessonError("pooling expects an image of more than 12 × 12 pixels, got \(height) × \(width)")
    }
    /// Edges, since those are what moves; one column cut off at either end.
    func part(from first: Int) -> Batch {
      Batch(
        [1, 1, height, width - 1],
        (0..<height).flatMap { row in grey.values[(row * width + first)..<((row + 1) * width - 1 + first)] })
    }
    let kernel = ConvolutionLesson.edges
    let still = try input.engine.convolve(part(from: 0), kernel)
    let moved = try input.engine.convolve(part(from: 1), kernel)
    func change(_ layer: (any Layer)?) throws -> Double {
      guard let layer else { return LessonText.relativeDistance(moved.doubles, still.doubles) }
      return LessonText.relativeDistance(
        try input.engine.forward(layer, moved).doubles, try input.engine.forward(layer, still).doubles)
    }
    return [
      ("all pixels", try change(nil)), ("max of 2×2", try change(MaxPool2d(kernel: 2))),
      ("max of 4×4", try change(MaxPool2d(kernel: 4))), ("max of 8×8", try change(MaxPool2d(kernel: 8))),
    ]
  }
}
