import Foundation
import Training

/// Where L2, L1 and shared weights lead a small loss, L(w) = ½ (w − w*)ᵀ A (w − w*), by the optimizer of training.
struct Constraints {
  static let target = [2.0, 0.7]
  private static let curvature = [[1.0, 0.3], [0.3, 0.8]]
  private static let (decay, absolute) = (1.0, 0.8)

  let l2: [Double]
  let l1: [Double]
  let shared: [Double]
  /// One weight of curvature 1 for each of `targets`, after training with λ = 1 and λ = 0.5.
  let shrunk: [(l2: Double, l1: Double)]
  private static let targets = (-8...8).map { Double($0) / 4 }

  init(engine: any LessonEngine) {
    func train(_ start: [Float], l2: Double = 0, l1: Double = 0, _ slope: ([Float]) -> [Float]) -> [Double] {
      var config = OptimizerConfig()
      (config.name, config.learningRate, config.weightDecay, config.l1) = (.sgd, 0.02, l2, l1)
      let way = engine.descend(config, from: start, steps: 1500, slope: slope)
      return (way.last ?? start).map(Double.init)
    }
    func slope(_ w: [Float]) -> [Float] {
      let away = zip(w, Self.target).map { $0 - Float($1) }
      return Self.curvature.map { Float($0[0]) * away[0] + Float($0[1]) * away[1] }
    }
    l2 = train([0, 0], l2: Self.decay, slope)
    l1 = train([0, 0], l1: Self.absolute, slope)
    // One weight that stands at both places: its slope is the sum over them.
    let one = train([0]) { weight in [slope([weight[0], weight[0]]).reduce(0, +)] }
    shared = one + one
    shrunk = Self.targets.map { target in
      func pull(_ w: [Float]) -> [Float] { [w[0] - Float(target)] }
      return (train([Float(target)], l2: 1, pull)[0], train([Float(target)], l1: 0.5, pull)[0])
    }
  }

  private static func loss(_ w: [Double]) -> Double {
    let (x, y) = (w[0] - target[0], w[1] - target[1])
    return 0.5 * (curvature[0][0] * x * x + 2 * curvature[0][1] * x * y + curvature[1][1] * y * y)
  }

  /// Where the loss is as high as at a place.
  private static func contour(through place: [Double]) -> [Point] {
    let height = loss(place)
    return (0...96).map { step in
      let angle = Double(step) / 96 * 2 * Double.pi
      let (x, y) = (cos(angle), sin(angle))
      let bend = curvature[0][0] * x * x + 2 * curvature[0][1] * x * y + curvature[1][1] * y * y
      let radius = (2 * height / bend).squareRoot()
      return Point(target[0] + radius * x, target[1] + radius * y)
    }
  }

  /// The sets in which each penalty keeps the weights, and how a single weight shrinks.
  var panels: [any Panel] {
    let radius = (l2[0] * l2[0] + l2[1] * l2[1]).squareRoot()
    let reach = abs(l1[0]) + abs(l1[1])
    let circle = (0...96).map { step -> Point in
      let angle = Double(step) / 96 * 2 * Double.pi
      return Point(radius * cos(angle), radius * sin(angle))
    }
    let diamond = [Point(reach, 0), Point(0, reach), Point(-reach, 0), Point(0, -reach), Point(reach, 0)]
    func at(_ place: [Double]) -> Point { Point(place[0], place[1]) }
    let (xRange, yRange) = (-1.6...3.2, -1.6...2.0)
    func set(_ title: String, _ name: String, _ shape: [Point], _ found: [Double]) -> Chart {
      Chart(
        title,
        [
          .init("the loss is as high", Self.contour(through: found), style: .ideal), .init(name, shape),
          .init("ŵ", [at(found)], style: .points), .init("w*", [at(Self.target)], style: .points),
        ], x: Axis("w₁", range: xRange), y: Axis("w₂", range: yRange), width: 270, height: 205)
    }
    let line = [Point(-1.6, -1.6), Point(2, 2)]
    let fine = (-40...40).map { Double($0) / 20 }
    return [
      set("L2: a ball", "Σ w² is as large", circle, l2),
      set("L1: a diamond", "Σ |w| is as large", diamond, l1),
      set("Sharing: a line", "w₁ = w₂", line, shared),
      Chart(
        "What is left of a weight",
        [
          .init("no penalty", fine.map { Point($0, $0) }, style: .ideal),
          .init("w*/(1 + λ)", fine.map { Point($0, $0 / 2) }),
          .init(
            "sign(w*) · max(0, |w*| − λ)",
            fine.map { Point($0, $0 == 0 ? 0 : $0 / abs($0) * max(0, abs($0) - 0.5)) }),
          .init(
            "L2, λ = 1, trained", zip(Self.targets, shrunk).map { Point($0, $1.l2) }, style: .points),
          .init(
            "L1, λ = 0.5, trained", zip(Self.targets, shrunk).map { Point($0, $1.l1) }, style: .points),
        ], x: Axis("w*, the best weight without a penalty"), y: Axis("ŵ, the weight found")),
    ]
  }
}
