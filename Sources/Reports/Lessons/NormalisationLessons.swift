import Layers
import Tensors

extension LessonTopic {
  static let batchNorm = LessonTopic(
    name: "batchnorm",
    sentence: "What batch norm does to values, in training and after, and what the microbatch does.",
    make: BatchNormLesson.make)
  static let dropout = LessonTopic(
    name: "dropout", sentence: "Dropout trains an ensemble; its spread says how sure a network is.",
    make: DropoutLesson.make)
}

enum BatchNormLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let stream = RandomStream(seed: 21, purpose: .synthesis)
    let (images, side) = (64, 8)
    let x = Batch(
      [images, 1, side, side], (0..<(images * side * side)).map { 3 + 2 * stream.normal(at: $0) })
    let norm = BatchNorm2d()
    func run(_ x: Batch, _ scale: Float, _ shift: Float, _ mode: Mode, _ kept: (Float, Float)) throws
      -> LayerResult
    {
      func one(_ value: Float) -> Tensor { Tensor(shape: [1], values: [value]) }
      return try input.engine.run(
        norm, [x], parameters: [one(scale), one(shift)], statistics: [one(kept.0), one(kept.1)], mode: mode,
        outputGradient: nil, epoch: 0)
    }
    let plain = try run(x, 1, 0, .training, (0, 1))
    let learned = try run(x, 0.5, 1, .training, (0, 1))
    let fresh = try run(x, 1, 0, .inference, (0, 1))
    let running = try run(x, 1, 0, .inference, (3, 4))
    func summary(_ values: [Double]) -> (mean: Double, deviation: Double) {
      (LessonText.mean(values), LessonText.variance(values).squareRoot())
    }
    let outcomes = [
      ("x", summary(x.doubles)), ("training, γ 1, β 0", summary(plain.output.doubles)),
      ("training, γ 0.5, β 1", summary(learned.output.doubles)),
      ("inference, statistics of step 0", summary(fresh.output.doubles)),
      ("inference, statistics learned", summary(running.output.doubles)),
    ]
    // One value an image, so that a microbatch of n averages n values.
    let sizes = [2, 4, 8, 16, 32, 64]
    let spreads = try sizes.map { size -> Double in
      let means = try (0..<200).map { draw -> Double in
        let values = (0..<size).map { 3 + 2 * stream.normal(at: 100_000 + draw * 64 + $0) }
        let result = try run(Batch([size, 1, 1, 1], values), 1, 0, .training, (0, 1))
        return Double(result.batchStatistics.first?.values.first ?? .nan)
      }
      return LessonText.variance(means).squareRoot()
    }
    let rows: [[String]] =
      [["values", "mean", "deviation"]]
      + outcomes.map { name, found -> [String] in
        [name, LessonText.number(found.mean, 3), LessonText.number(found.deviation, 3)]
      }
    func histogram(_ batch: Batch) -> [Point] {
      LessonText.histogram(batch.doubles, from: -5, to: 11, bins: 64)
    }
    return Lesson(
      """
      Batch norm brings each channel to mean 0 and variance 1 over the images of a microbatch, and then lets the network
      choose another scale γ and shift β:

        y = γ · (x − μ) / √(σ² + ε) + β

      In training μ and σ² are those of the microbatch; for use, running averages of them:

      \(LessonText.table(rows))

      Statistics of a small microbatch are themselves noise: the deviation of μ falls as σ/√n. Values with σ = 2, measured
      over 200 microbatches: \(zip(sizes, spreads).map { "n = \($0): \(LessonText.number($1, 3))" }.joined(separator: ", ")).
      (training.microbatch; training.batch_statistics: global_batch takes all images of a step.)
      """,
      Figure(
        "Batch norm",
        [
          Chart(
            "Values before and after",
            [
              .init("x", histogram(x), style: .steps),
              .init("γ 1, β 0", histogram(plain.output), style: .steps),
              .init("γ 0.5, β 1", histogram(learned.output), style: .steps),
            ], x: Axis("value"), y: Axis("density")),
          Chart(
            "How unsure a microbatch's mean is",
            [
              .init("measured", zip(sizes, spreads).map { Point(Double($0), $1) }, style: .lineAndPoints),
              .init("σ/√n", sizes.map { Point(Double($0), 2 / Double($0).squareRoot()) }, style: .ideal),
            ], x: Axis("images in the microbatch", .logarithmic, ticks: sizes.map(Double.init)),
            y: Axis("deviation of μ", .logarithmic)),
          TablePanel("Training and inference", rows),
        ]),
      numbers: [
        "normalised": [outcomes[1].1.mean, outcomes[1].1.deviation],
        "scaled": [outcomes[2].1.mean, outcomes[2].1.deviation], "deviations_of_mean": spreads,
      ])
  }
}

enum DropoutLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let stream = RandomStream(seed: 31, purpose: .synthesis)
    let units = 256
    let x = Batch([1, units, 1, 1], (0..<units).map { abs(stream.normal(at: $0)) })
    let weights = (0..<units).map { Double(stream.normal(at: 1000 + $0)) / 16 }
    let layer = try Dropout(probability: 0.5, number: 0)
    func answer(_ batch: Batch) -> Double { zip(batch.doubles, weights).reduce(0) { $0 + $1.0 * $1.1 } }
    let whole = answer(try input.engine.forward(layer, x))
    let masked = try (0..<512).map { try input.engine.forward(layer, x, mode: .training, epoch: $0) }
    let answers = masked.map(answer)
    let kept = masked.map { Double($0.values.filter { $0 != 0 }.count) / Double(units) }
    let counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    let averages = counts.map { count in abs(LessonText.mean(Array(answers.prefix(count))) - whole) }
    let spread = LessonText.variance(answers).squareRoot()
    var panels: [any Panel] = [
      HeatMap(
        "one mask over 256 units", masked[0].doubles, columns: 32, scale: .sequential(0...4), digits: nil,
        cell: 12),
      Chart(
        "Answers of 512 thinned networks",
        [
          .init(
            "one answer each",
            LessonText.histogram(answers, from: whole - 4 * spread, to: whole + 4 * spread, bins: 30),
            style: .steps)
        ], x: Axis("answer (the whole network: \(LessonText.number(whole, 2)))"), y: Axis("density")),
      Chart(
        "Their mean nears the whole network's answer",
        [
          .init(
            "distance", zip(counts, averages).map { Point(Double($0), max($1, 1e-5)) }, style: .lineAndPoints),
          .init("σ/√n", counts.map { Point(Double($0), spread / Double($0).squareRoot()) }, style: .ideal),
        ], x: Axis("networks averaged", .logarithmic, ticks: counts.map(Double.init)),
        y: Axis("distance", .logarithmic)),
    ]
    var numbers = ["whole": [whole], "mean": [LessonText.mean(answers)], "kept": [LessonText.mean(kept)]]
    var more = "With --run RUN this lesson also shows how sure a trained network is of an image."
    if let run = input.run {
      let told = try uncertainty(input, run)
      panels.append(told.panel)
      numbers["probabilities"] = told.means
      numbers["deviations"] = told.deviations
      more = told.text
    }
    return Lesson(
      """
      In training dropout sets each unit to 0 with probability p and multiplies the others by 1/(1 − p), so the
      expectation stays. Each mask is another, thinned network: training fits an ensemble of them that share weights.
      For use, nothing is dropped: the whole network stands for the mean of all.

        y = x · m / (1 − p),   m = 0 with probability p, else 1;   E[y] = x

      256 units, p = 0.5, a linear read-out: the whole network answers \(LessonText.number(whole)), 512 thinned ones \
      \(LessonText.number(LessonText.mean(answers))) in the mean (± \(LessonText.number(spread, 3)) each); \
      \(LessonText.number(100 * LessonText.mean(kept), 1)) % of the units were kept.

      \(more)
      """,
      Figure("Dropout", panels, caption: "Dark units of the mask are dropped."), numbers: numbers)
  }

  /// Class probabilities under 50 masks: Monte-Carlo dropout (Gal and Ghahramani 2016, arXiv:1506.02142).
  private static func uncertainty(
    _ input: LessonInput, _ run: LessonRun
  ) throws -> (text: String, panel: any Panel, means: [Double], deviations: [Double]) {
    guard let first = run.network.nodes.firstIndex(where: { $0.layer is Dropout }) else {
      return (
        "\(run.path) has no dropout layer, so nothing varies.",
        TablePanel("\(run.path)", [["no dropout layer"]]), [], []
      )
    }
    let (image, _) = try run.prepared(input.image, named: input.imageName)
    let still = try input.engine.outputs(of: run.network, values: run.values, image: image)
    let draws = try (0..<50).map { epoch -> [Double] in
      // Layers before the first dropout stay as they were computed.
      let logits = try input.engine.outputs(
        of: run.network, values: run.values, image: image, known: still.prefix(first), drops: true,
        epoch: epoch)
      return try SoftmaxLesson.softmax(logits.last?.doubles ?? [], engine: input.engine)
    }
    let classes = run.classes
    let means = classes.indices.map { index in LessonText.mean(draws.map { $0[index] }) }
    let deviations = classes.indices.map { index in LessonText.variance(draws.map { $0[index] }).squareRoot()
    }
    // The most probable, at most a dozen, in the order of the classes.
    let shown = means.indices.sorted { means[$0] > means[$1] }.prefix(12).sorted()
    func figures(_ index: Int) -> String {
      "\(LessonText.number(means[index], 3)) ± \(LessonText.number(deviations[index], 3))"
    }
    let few =
      shown.count < classes.count ? ", the \(shown.count) most probable of \(classes.count) classes" : ""
    return (
      "\(run.path), 50 masks over \(input.imageName) (probability ± deviation\(few)):\n\n"
        + shown.map { "  \(classes[$0]): \(figures($0))" }.joined(separator: "\n"),
      BarChart(
        "Monte-Carlo dropout on \(input.imageName)",
        shown.map {
          .init(classes[$0], means[$0], text: figures($0), series: 1)
        }, width: 410), means, deviations
    )
  }
}
