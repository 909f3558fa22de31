import Layers
import Tensors

extension LessonTopic {
  static let equivariance = LessonTopic(
    name: "equivariance",
    sentence: "A moved picture gives a moved output, until borders, strides or pools break it.",
    make: EquivarianceLesson.make)
}

/// Moves a picture by some columns and compares the outputs of layers.
enum EquivarianceLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let engine = input.engine
    let grey = input.grey
    let (height, width) = (grey.shape[2], grey.shape[3])
    guard height >= 16, width >= 16 else {
      throw LessonError("equivariance expects an image of at least 16 × 16 pixels, got \(height) × \(width)")
    }
    /// The picture moved to the right; what comes in on the left are copies of the first column.
    func moved(by columns: Int) -> Batch {
      Batch(
        grey.shape,
        (0..<height).flatMap { row in
          (0..<width).map { grey.values[row * width + max(0, $0 - columns)] }
        })
    }
    let weight = Tensor(shape: [1, 1, 3, 3], values: ConvolutionLesson.sobel.flatMap { $0 })
    func conv(stride: Int, padding: Int) -> Conv2d {
      Conv2d(
        outputChannels: 1, kernel: 3, stride: Size2D(stride), padding: .explicit(Size2D(padding)), bias: false
      )
    }
    /// Largest |f(moved x) − moved f(x)|, `margin` columns at either border left out.
    func gap(_ layer: any Layer, by columns: Int, stride: Int, skipping margin: Int) throws -> Double {
      let parameters = layer is Conv2d ? [weight] : []
      let before = try engine.forward(layer, grey, parameters: parameters)
      let after = try engine.forward(layer, moved(by: columns), parameters: parameters)
      let (rows, side, step) = (before.shape[2], before.shape[3], columns / stride)
      var worst = 0.0
      for row in 0..<rows {
        for column in (step + margin)..<(side - margin) {
          let pair = (after.values[row * side + column], before.values[row * side + column - step])
          worst = max(worst, abs(Double(pair.0) - Double(pair.1)))
        }
      }
      return worst
    }
    let cases: [(String, Double)] = [
      ("convolution, shift 4", try gap(conv(stride: 1, padding: 0), by: 4, stride: 1, skipping: 0)),
      ("with padding 1, at the border", try gap(conv(stride: 1, padding: 1), by: 4, stride: 1, skipping: 0)),
      ("with padding 1, inside", try gap(conv(stride: 1, padding: 1), by: 4, stride: 1, skipping: 1)),
      ("stride 2, shift 4", try gap(conv(stride: 2, padding: 0), by: 4, stride: 2, skipping: 0)),
      ("stride 2, shift 3", try gap(conv(stride: 2, padding: 0), by: 3, stride: 2, skipping: 1)),
      ("max pool 2×2, shift 4", try gap(MaxPool2d(kernel: 2), by: 4, stride: 2, skipping: 0)),
      ("max pool 2×2, shift 3", try gap(MaxPool2d(kernel: 2), by: 3, stride: 2, skipping: 1)),
    ]
    let layer = conv(stride: 1, padding: 0)
    let (still, shifted) = (
      try engine.forward(layer, grey, parameters: [weight]),
      try engine.forward(layer, moved(by: 8), parameters: [weight])
    )
    func item(_ batch: Batch, _ caption: String) -> ImageMontage.Item {
      .init(
        Raster(batch.doubles, width: batch.shape[3], scale: .grey(over: batch.doubles), theme: .light),
        caption)
    }
    let rows: [[String]] =
      [["layer and shift", "largest difference"]]
      + cases.map { name, gap -> [String] in [name, LessonText.number(gap, 4)] }
    return Lesson(
      """
      A convolution treats every place alike. So if the picture moves, the output moves with it:

        f(shift x) = shift f(x)          (equivariance)

      A class should not depend on where a cell lies at all (invariance): pools and the mean over all places lead there.
      Measured on \(input.imageName), largest |f(shift x) − shift f(x)|:

      \(LessonText.table(rows))

      Zeros of padding are the same wherever the picture is, so the border breaks it. With a stride or a pool of 2, only
      shifts by multiples of 2 move the output by whole pixels; a shift by 3 meets other windows.
      """,
      Figure(
        "Equivariance",
        [
          ImageMontage(
            "A picture and its Sobel edges, then both moved by 8 columns",
            [
              item(grey, "x"), item(still, "f(x)"), item(moved(by: 8), "shift x"),
              item(shifted, "f(shift x)"),
            ],
            columns: 4, side: 130),
          BarChart(
            "Largest difference between f(shift x) and shift f(x)",
            cases.map { .init($0.0, $0.1, text: LessonText.number($0.1, 3), series: $0.1 == 0 ? 2 : 1) }),
        ]), numbers: ["differences": cases.map(\.1)])
  }
}
