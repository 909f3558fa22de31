import Foundation
import Layers

extension LessonTopic {
  static let activation = LessonTopic(
    name: "activation", sentence: "The curves between layers, their slopes, and where gradients die.",
    make: ActivationLesson.make)
  static let softmax = LessonTopic(
    name: "softmax", sentence: "From class scores to probabilities, the loss, and its simple gradient.",
    make: SoftmaxLesson.make)
}

enum ActivationLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let layers: [any Layer] = [ReLU(), try LeakyReLU(), SiLU(), GELU(), Sigmoid(), Tanh()]
    let places = (-60...60).map { Float($0) / 15 }
    let x = Batch([places.count, 1, 1, 1], places)
    let ones = Batch(x.shape, Array(repeating: 1, count: places.count))
    var (values, slopes, rows): ([Chart.Series], [Chart.Series], [[String]]) = (
      [], [], [["layer", "f(−2)", "f(0)", "f(2)", "f′(−2)", "f′(2)"]]
    )
    var numbers: [String: [Double]] = [:]
    func at(_ values: [Double], _ place: Int) -> String { LessonText.number(values[60 + 15 * place], 3) }
    for layer in layers {
      let result = try input.engine.run(
        layer, [x], parameters: [], statistics: [], mode: .training, outputGradient: ones, epoch: 0)
      let (y, dy) = (result.output.doubles, result.inputGradient?.doubles ?? [])
      values.append(.init(layer.kind, zip(places, y).map { Point(Double($0), $1) }))
      slopes.append(.init(layer.kind, zip(places, dy).map { Point(Double($0), $1) }))
      rows.append([layer.kind, at(y, -2), at(y, 0), at(y, 2), at(dy, -2), at(dy, 2)])
      numbers[layer.kind] = y
      numbers[layer.kind + "_slope"] = dy
    }
    return Lesson(
      """
      Without something bent between them, two linear layers are one. ReLU, max(0, x), costs next to nothing and has
      slope 1 for all x > 0; below 0 its slope is 0, and a unit that is always there learns nothing (a dead unit). Sigmoid
      and tanh flatten on both sides: their slopes, multiplied layer by layer, vanish. SiLU and GELU are smooth ReLUs.

      \(LessonText.table(rows))

      Slopes are those that the backward pass of each layer computes.
      """,
      Figure(
        "Activations",
        [
          Chart("f(x)", values, x: Axis("x"), y: Axis(""), height: 300),
          Chart("f′(x), by the backward pass", slopes, x: Axis("x"), y: Axis(""), height: 300),
        ]), numbers: numbers)
  }
}

enum SoftmaxLesson {
  static let scores: [Double] = [2, 1, 0.1]

  /// By the engine's softmax layer.
  static func softmax(_ scores: [Double], engine: any LessonEngine) throws(LayerError) -> [Double] {
    let x = Batch([1, scores.count, 1, 1], scores.map(Float.init))
    return try engine.forward(Softmax(), x).doubles
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    let x = Batch([1, 3, 1, 1], scores.map(Float.init))
    let p = try input.engine.forward(Softmax(), x).doubles
    let (loss, gradient) = input.engine.crossEntropy(x, labels: [0])
    let slope = gradient.doubles
    let temperatures = [0.25, 0.5, 1, 2, 4]
    let heated = try temperatures.map { t in try softmax(scores.map { $0 / t }, engine: input.engine) }
    let truth = [1.0, 0, 0]
    let rows: [[String]] =
      [["class", "score z", "p", "label", "dL/dz"]]
      + (0..<3).map { k -> [String] in
        [
          "\(k)", LessonText.number(scores[k], 1), LessonText.number(p[k]), LessonText.number(truth[k], 0),
          LessonText.number(slope[k]),
        ]
      }
    let curve = (1...100).map { Point(Double($0) / 100, -log(Double($0) / 100)) }
    return Lesson(
      """
      Softmax turns class scores into probabilities: positive, of sum 1, the order kept. Cross-entropy asks how probable
      the right class was, and its gradient is just what is wrong with the probabilities:

        p[k] = exp(z[k]) / Σ exp(z[j])          L = −log p[label]          dL/dz[k] = p[k] − (k = label)

      \(LessonText.table(rows))

      L = \(LessonText.number(loss)). Scores divided by a temperature T: small T makes the answer sharp, large T even.
      """,
      Figure(
        "Softmax and cross-entropy",
        [
          BarChart(
            "Probabilities of scores 2, 1, 0.1",
            p.enumerated().map { .init("class \($0)", $1, text: LessonText.number($1), series: $0) },
            width: 410),
          BarChart(
            "Size of dL/dz = p − y, where class 0 is right",
            slope.enumerated().map { .init("class \($0)", abs($1), text: LessonText.number($1), series: $0) },
            width: 410),
          Chart(
            "Temperature",
            (0..<3).map { k in
              .init("class \(k)", zip(temperatures, heated).map { Point($0, $1[k]) }, style: .lineAndPoints)
            }, x: Axis("T", .logarithmic, ticks: temperatures), y: Axis("p", range: 0...1)),
          Chart(
            "What an answer costs",
            [.init("−log p", curve), .init("here", [Point(p[0], loss)], style: .points)],
            x: Axis("p of the right class"), y: Axis("loss")),
        ]), numbers: ["probabilities": p, "loss": [loss], "gradient": slope])
  }
}
