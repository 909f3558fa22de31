import Glibc
import Training

extension LessonTopic {
  static let optimizer = LessonTopic(
    name: "optimizer", sentence: "SGD, momentum, Nesterov and Adam on their way down one valley.",
    make: OptimizerLesson.make)
}

/// Steps of the production optimizers on f(x, y) = ½ (x² + 20 y²), a long valley.
enum OptimizerLesson {
  static let start = Point(-4, 1.3)
  static let steps = 60

  static func f(_ point: Point) -> Double { 0.5 * (point.x * point.x + 20 * point.y * point.y) }

  static let contenders: [(name: String, config: OptimizerConfig)] = {
    func sgd(_ momentum: Double, nesterov: Bool = false) -> OptimizerConfig {
      var config = OptimizerConfig()
      (config.name, config.learningRate, config.momentum, config.nesterov) = (.sgd, 0.04, momentum, nesterov)
      config.weightDecay = 0
      return config
    }
    var adam = OptimizerConfig()
    (adam.name, adam.learningRate, adam.weightDecay) = (.adam, 0.3, 0)
    return [
      ("SGD", sgd(0)), ("momentum 0.9", sgd(0.9)), ("Nesterov 0.9", sgd(0.9, nesterov: true)), ("Adam", adam),
    ]
  }()

  static func way(of config: OptimizerConfig, engine: any LessonEngine) -> [Point] {
    engine.descend(config, from: [Float(start.x), Float(start.y)], steps: steps) { [$0[0], 20 * $0[1]] }
      .map { Point(Double($0[0]), Double($0[1])) }
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    let ways = contenders.map { way(of: $0.config, engine: input.engine) }
    let (columns, lines) = (120, 60)
    let (xRange, yRange) = (-5.0...3.0, -2.0...2.0)
    let surface = (0..<(columns * lines)).map { place -> Double in
      let x = xRange.lowerBound + 8 * (Double(place % columns) + 0.5) / Double(columns)
      let y = yRange.lowerBound + 4 * (Double(place / columns) + 0.5) / Double(lines)
      return log10(f(Point(x, y)) + 0.05)
    }
    let paths = zip(contenders, ways).map { contender, way in
      Chart(
        contender.name, [.init("", way, style: .lineAndPoints)], x: Axis("", range: xRange),
        y: Axis("", range: yRange), height: 220,
        backdrop: .init(surface, columns: columns, scale: .grey(-2...2.6)))
    }
    let rows: [[String]] =
      [["optimizer", "rate", "f after 10", "f after 30", "f after 60"]]
      + zip(contenders, ways).map { contender, way -> [String] in
        let heights = [10, 30, 60].map { LessonText.scientific(f(way[$0])) }
        return [contender.name, "\(contender.config.learningRate)"] + heights
      }
    return Lesson(
      """
      All follow the gradient g down f(x, y) = ½ (x² + 20 y²), a valley twenty times steeper across than along, from
      (−4, 1.3), by the code that trains networks here.

        SGD        w ← w − η g
        momentum   v ← μ v + g,  w ← w − η v                  (a heavy ball: across, the pulls cancel)
        Nesterov   v ← μ v + g,  w ← w − η (g + μ v)          (looks ahead, so it swings less)
        Adam       w ← w − η m̂ / (√v̂ + ε)                     (each direction gets a rate of its own)

      \(LessonText.table(rows))
      """,
      Figure(
        "Optimizers on one valley",
        paths + [
          Chart(
            "How low they are",
            zip(contenders, ways).map { contender, way in
              .init(contender.name, way.enumerated().map { Point(Double($0), max(f($1), 1e-8)) })
            }, x: Axis("step"), y: Axis("f", .logarithmic), width: 846)
        ], caption: "Dark is low; each dot is a step."),
      numbers: Dictionary(uniqueKeysWithValues: zip(contenders, ways).map { ($0.name, $1.map(f)) }))
  }
}
