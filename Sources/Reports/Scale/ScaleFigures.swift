import Tensors
import Training

// A report in pictures.
extension ScaleReport {
  /// Images a second with the ideal line, efficiency, and how the step divides, for each kind of scaling.
  package var figure: Figure {
    let panels = ScalePlan.Scaling.allCases.flatMap { scaling -> [any Panel] in
      let rows = rows.filter { $0.point.scaling == scaling }
      return rows.isEmpty ? [] : Self.panels(rows, scaling)
    }
    return Figure(
      "\(plan.model) 3×\(plan.size)×\(plan.size), microbatches of \(plan.microbatch)", panels,
      caption:
        "\(plan.cpu), \(plan.cores) cores a node, \(isa); medians of \(plan.rounds) rounds, from the least "
        + "to the greatest"
        + (rows.contains(where: \.oversubscribed) ? "; beyond the cores lanes share them" : ""))
  }

  private static func panels(_ rows: [Row], _ scaling: ScalePlan.Scaling) -> [any Panel] {
    let workers = Axis("lanes", .logarithmic, ticks: Array(Set(rows.map { Double($0.workers) })).sorted())
    func points(_ value: (Row) -> Double?) -> [Point] {
      rows.compactMap { row in value(row).map { Point(Double(row.workers), $0) } }
    }
    func spreads(_ value: (Row) -> Spread?) -> [ClosedRange<Double>] {
      rows.compactMap { value($0).map { $0.least...$0.greatest } }
    }
    func percent(_ value: @escaping (Row) -> Spread?) -> Chart.Series {
      Chart.Series(
        "", points { value($0).map { $0.median * 100 } }, style: .lineAndPoints,
        spreads: spreads(value).map { ($0.lowerBound * 100)...($0.upperBound * 100) })
    }
    let first = rows[0].imagesPerSecond.median / Double(rows[0].workers)
    var ofOne = percent { $0.efficiency }
    ofOne.name = "of the fewest lanes"
    var ofIndependent = percent { $0.efficiencyOfIndependent }
    ofIndependent.name = "of independent processes"
    let phases: [(String, (TimeDivision) -> Double)] = [
      ("compute", { $0.compute }), ("reduce", { $0.reduce }), ("update", { $0.update }),
      ("gather", { $0.gather }),
    ]
    return [
      Chart(
        "\(scaling.rawValue) scaling: images a second",
        [
          Chart.Series("ideal", points { first * Double($0.workers) }, style: .ideal),
          Chart.Series(
            "measured", points { $0.imagesPerSecond.median }, style: .lineAndPoints,
            spreads: spreads { $0.imagesPerSecond }),
        ], x: workers, y: Axis("images/s", .logarithmic)),
      Chart(
        "Efficiency, %",
        [Chart.Series("ideal", points { _ in 100 }, style: .ideal), ofOne]
          + (ofIndependent.points.isEmpty ? [] : [ofIndependent]),
        x: workers, y: Axis("%")),
      Chart(
        "Where the step's time goes, %",
        phases.map { name, share in
          Chart.Series(name, points { share($0.division) * 100 }, style: .lineAndPoints)
        }, x: workers, y: Axis("% of the step")),
    ]
  }
}

extension ForecastReport {
  /// Efficiency and step time over ranks, one curve for each network and ranks on a node, beside what SimGrid and
  /// measurements say.
  package var figure: Figure {
    struct Curve: Hashable {
      let bytesPerSecond: Double
      let ranksPerNode: Int
    }
    var curves: [Curve] = []
    for row in rows {
      let curve = Curve(bytesPerSecond: row.network.bytesPerSecond, ranksPerNode: row.ranksPerNode)
      if !curves.contains(curve) { curves.append(curve) }
    }
    let ranks = Axis("ranks", .logarithmic, ticks: Array(Set(rows.map { Double($0.ranks) })).sorted())
    func series(_ style: Chart.Series.Style, _ suffix: String, _ value: (Row) -> Double?) -> [Chart.Series] {
      curves.compactMap { curve in
        let points = rows.filter {
          $0.network.bytesPerSecond == curve.bytesPerSecond && $0.ranksPerNode == curve.ranksPerNode
        }.sorted { $0.ranks < $1.ranks }.compactMap { row in value(row).map { Point(Double(row.ranks), $0) } }
        let speed = Self.gbits(curve.bytesPerSecond)
        return points.isEmpty
          ? nil : Chart.Series("\(speed) Gbit/s, \(curve.ranksPerNode) a node\(suffix)", points, style: style)
      }
    }
    let all = Set(rows.map { Double($0.ranks) }).sorted()
    return Figure(
      "Forecast: \(model) 3×\(size)×\(size)",
      [
        Chart(
          "Efficiency, %",
          [Chart.Series("ideal", all.map { Point($0, 100) }, style: .ideal)]
            + series(.lineAndPoints, "") { $0.forecast.efficiency * 100 },
          x: ranks, y: Axis("%")),
        Chart(
          "Seconds of a step",
          series(.line, "") { $0.forecast.stepSeconds } + series(.points, ", measured") { $0.measuredSeconds }
            + series(.points, ", SimGrid") { $0.replay?.stepSeconds },
          x: ranks, y: Axis("s", .logarithmic)),
      ],
      caption: "parts measured on \(cpu), \(isa), microbatches of \(microbatch)")
  }
}
