import CellData
import Models
import Tensors

extension LessonTopic {
  static let byHand = LessonTopic(
    name: "by-hand",
    sentence: "Filters made by hand against filters that learn, and what L1, L2 and sharing constrain.",
    make: ByHandLesson.make)
}

/// Feature engineering beside learning: a frozen bank of Sobel's and Gabor's filters with a linear classifier, and a
/// network that learns its filters, on the same cells.
enum ByHandLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let training = try HandTraining(input)
    let (classifiers, features) = try training.byHand()
    let learned = try training.learned(training: features.images.training)
    let constraints = Constraints(engine: input.engine)
    let chance = 1 / Double(max(features.classes.count, 1))
    let head = "accuracy on \(features.images.test) test images"
    let bank = "the bank, a linear classifier"
    let rows: [[String]] =
      [["filters", "what learns", head]]
      + classifiers.map { [bank + ", " + $0.name, Figures.grouped($0.weights.count), percent($0.accuracy)] }
      + [
        [
          "\(learned.model), \(learned.story)", Figures.grouped(learned.parameters),
          percent(learned.accuracy),
        ],
        ["guessing", "0", percent(chance)],
      ]
    let weightRows: [[String]] =
      [["classifier's weights", "√Σw²", "Σ|w|", "|w| < 0.001"]]
      + classifiers.map { classifier -> [String] in
        let size = Self.sizes(classifier.weights)
        return [
          classifier.name, LessonText.number(size.square, 2), LessonText.number(size.absolute, 1),
          percent(size.zeros),
        ]
      }
    let shape = "\(features.size)×\(features.size)"
    let dense =
      features.channels * features.size * features.size * HandBank.filters.count * features.size
      * features.size
    return Lesson(
      """
      Before networks learned filters, people drew them. Here \(HandBank.filters.count) of them (Sobel's, and Gabor's waves, 7×7, never
      changed) run over \(shape) images by the same convolution kernels that train networks. A ReLU and means over
      \(HandBank.grid)×\(HandBank.grid) parts of the image make features, and only a linear classifier learns. Beside it a network whose
      filters learn, too. Both see the same \(Figures.grouped(features.images.training)) training images of \(features.classes.count) classes:

      \(LessonText.table(rows))

      The bank sees edges and stripes in grey. What tells these cells apart beyond that (colour, granules, the shape of a
      nucleus) nobody has written into it; the network found filters for it by descending its loss.

      What constrains weights:

        L2   L + λ/2 Σ w²   w ← (1 − ηλ) w − η g                  for a loss of curvature a:  ŵ = a/(a + λ) · w*
        L1   L + λ Σ |w|    w ← w − η g − ηλ sign(w)              ŵ = sign(w*) · max(0, |w*| − λ/a)
        sharing             one weight at all places: w₁ = w₂     dL/dw is the sum over the places

      L2 keeps w in a ball: all weights shrink by a factor, none to zero. L1 keeps w in a diamond, whose corners lie on
      the axes: weights below λ/a become zero. Sharing keeps w in a subspace: a convolution's matrix has a few weights
      again and again. The bank needs \(HandBank.filters.count) × 49 numbers; a fully connected layer between the same
      images and answers would have \(Figures.grouped(dense)).

      \(LessonText.table(weightRows))

      By the optimizer that trains networks here, where w* = \(Self.place(Constraints.target)) would be best without any:
      L2 leads to \(Self.place(constraints.l2)), L1 to \(Self.place(constraints.l1)), sharing to \(Self.place(constraints.shared)).
      """,
      Figure(
        "By hand, and learned",
        Self.pictures(features, learned)
          + [
            BarChart(
              "Right answers, of \(features.images.test) test images",
              classifiers.map {
                .init("by hand, \($0.name)", $0.accuracy, text: percent($0.accuracy))
              } + [
                .init(
                  "learned: \(learned.model)", learned.accuracy, text: percent(learned.accuracy), series: 1),
                .init("guessing", chance, text: percent(chance), series: 2),
              ], width: 860)
          ] + constraints.panels
          + [
            Chart(
              "The classifier's weights, by size",
              classifiers.map { classifier in
                let sorted = classifier.weights.map(abs).sorted(by: >)
                return .init(
                  classifier.name, sorted.enumerated().map { Point(Double($0 + 1), max($1, 1e-5)) })
              }, x: Axis("weight, the largest first"), y: Axis("|w|", .logarithmic)),
            HeatMap(
              "Sharing: a convolution's matrix", try MatrixLesson.toeplitz(input.engine).flatMap { $0 },
              columns: 16,
              digits: nil, cell: 22, note: "64 numbers, of which 9 may be chosen; grey cells are zero"),
          ],
        caption:
          "The classifier reads means of the bank's answers; the network's filters are shown as they are."),
      numbers: [
        "hand_accuracy": classifiers.map(\.accuracy), "learned_accuracy": [learned.accuracy],
        "features": features.first, "zeros": classifiers.map { Self.sizes($0.weights).zeros },
        "norms": classifiers.map { Self.sizes($0.weights).square }, "l2": constraints.l2,
        "l1": constraints.l1,
        "shared": constraints.shared, "shrunk_l2": constraints.shrunk.map(\.l2),
        "shrunk_l1": constraints.shrunk.map(\.l1),
      ])
  }

  private static func percent(_ share: Double) -> String { LessonText.number(100 * share, 1) + " %" }

  private static func place(_ weights: [Double]) -> String {
    "(\(weights.map { LessonText.number($0, 2) }.joined(separator: ", ")))"
  }

  private static func sizes(_ weights: [Double]) -> (square: Double, absolute: Double, zeros: Double) {
    (
      weights.reduce(0) { $0 + $1 * $1 }.squareRoot(), weights.reduce(0) { $0 + abs($1) },
      Double(weights.filter { abs($0) < 0.001 }.count) / Double(max(weights.count, 1))
    )
  }

  /// The filters of either side, and what some of the bank see in a cell.
  private static func pictures(_ features: HandTraining.Features, _ learned: HandTraining.Learned)
    -> [any Panel]
  {
    let bank = HandBank.filters.map { filter -> ImageMontage.Item in
      let plane = filter.weights.map(Double.init)
      return .init(Raster(plane, width: HandBank.side, scale: .grey(over: plane), theme: .light))
    }
    let side = features.answers.shape[3]
    let answers = [0, 2, 4, 8, 12, 16].map { number -> ImageMontage.Item in
      let plane = features.answers.channel(number)
      return .init(
        Raster(plane, width: side, scale: .grey(over: plane), theme: .light), HandBank.filters[number].name)
    }
    var panels: [any Panel] = [
      ImageMontage("By hand: Sobel and Gabor, and their negatives", bank, columns: 10, side: 32)
    ]
    if let (weights, shape) = learned.filters {
      panels.append(
        ImageMontage(
          "Learned: first filters of \(learned.model)",
          FilterLesson.first(
            weights, shown: min(shape[0], 32), depth: shape[1], rows: shape[2], columns: shape[3]),
          columns: 11,
          side: 32))
    }
    panels.append(
      ImageMontage(
        "What the bank sees in a cell", [.init(Raster(features.seen), "the cell")] + answers, columns: 7,
        side: 112))
    return panels
  }
}
