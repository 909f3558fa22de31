import Training

/// A median over rounds, and what lay around it.
package struct Spread: Codable, Sendable, Equatable {
  package let median: Double
  package let least: Double
  package let greatest: Double

  /// The middle of the values; of an even number, the mean of the two in the middle. Traps without values.
  package init(_ values: [Double]) {
    precondition(!values.isEmpty, "a spread expects values")
    let sorted = values.sorted()
    median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    least = sorted[0]
    greatest = sorted[sorted.count - 1]
  }

  /// Nil where there are none.
  package init?(known values: [Double]) {
    if values.isEmpty { return nil }
    self.init(values)
  }

  package func overlaps(_ other: Spread) -> Bool { least <= other.greatest && other.least <= greatest }
}

/// What a scaling experiment found.
package struct ScaleReport: Codable, Sendable, Equatable {
  package struct Row: Codable, Sendable, Equatable {
    package let point: ScalePlan.Point
    package let workers: Int
    package let nodes: Int
    /// More lanes than cores: such a point says what oversubscription costs, not how the program scales.
    package let oversubscribed: Bool
    package let stepSeconds: Spread
    package let imagesPerSecond: Spread
    /// Images a second over those of the fewest workers, for each worker, round by round.
    package let efficiency: Spread
    package let independentImagesPerSecond: Spread?
    /// Images a second over those of as many independent processes in the same minutes, round by round.
    package let efficiencyOfIndependent: Spread?
    /// Shares of the step.
    package let division: TimeDivision
    package let busBandwidth: Spread?
    package let bytesSent: Int
    package let gradientBytes: Int
    package let coreSecondsPerImage: Double
    package let pricePerMillionImages: Double?

    enum CodingKeys: String, CodingKey {
      case point, workers, nodes, oversubscribed, efficiency, division
      case stepSeconds = "step_seconds"
      case imagesPerSecond = "images_per_second"
      case independentImagesPerSecond = "independent_images_per_second"
      case efficiencyOfIndependent = "efficiency_of_independent"
      case busBandwidth = "bus_bandwidth"
      case bytesSent = "bytes_sent"
      case gradientBytes = "gradient_bytes"
      case coreSecondsPerImage = "core_seconds_per_image"
      case pricePerMillionImages = "price_per_million_images"
    }
  }

  package let plan: ScalePlan
  package let isa: String
  package let rows: [Row]

  /// - Parameter measured: of every point of the plan, its rounds. Traps where a point has none.
  package init(_ plan: ScalePlan, measured: [ScalePlan.Point: [ScaleMeasurement]]) {
    self.plan = plan
    isa = measured.values.first?.first?.step.isa ?? ""
    rows = plan.points.map { point in
      guard let rounds = measured[point], let first = rounds.first else {
        preconditionFailure("point \(point.name) expects rounds, got none")
      }
      let same = plan.points.filter { $0.scaling == point.scaling }
      let base = same.min { ($0.workers, $0.ranks) < ($1.workers, $1.ranks) } ?? point
      let speeds = rounds.map(\.step.meanImagesPerSecond)
      let bases = (measured[base] ?? rounds).map(\.step.meanImagesPerSecond)
      let share = Double(point.workers) / Double(base.workers)
      let speed = Spread(speeds)
      // A run on one node has its cores; one on several as many on each.
      let cores = plan.cores * first.step.cost.nodes
      let used = Double(min(point.workers, cores))
      return Row(
        point: point, workers: point.workers, nodes: first.step.cost.nodes,
        oversubscribed: point.workers > cores, stepSeconds: Spread(rounds.map(\.step.stepSeconds)),
        imagesPerSecond: speed, efficiency: Spread(zip(speeds, bases).map { $0 / ($1 * share) }),
        independentImagesPerSecond: Spread(known: rounds.compactMap(\.independent)),
        efficiencyOfIndependent: Spread(
          known: zip(speeds, rounds).compactMap { speed, round in round.independent.map { speed / $0 } }),
        division: TimeDivision.mean(rounds.map(\.step.cost.division)),
        busBandwidth: Spread(known: rounds.compactMap(\.busBandwidth)),
        bytesSent: first.step.cost.bytesSent, gradientBytes: first.step.cost.gradientBytes,
        coreSecondsPerImage: used / speed.median,
        pricePerMillionImages: plan.coreHourPrice.map { $0 / 3600 * used / speed.median * 1e6 })
    }
  }

  /// What an earlier report must have in common with this one to be compared with it, and hasn't.
  package func differences(from earlier: ScaleReport) -> [String] {
    [
      ("model", plan.model, earlier.plan.model), ("size", "\(plan.size)", "\(earlier.plan.size)"),
      ("microbatch", "\(plan.microbatch)", "\(earlier.plan.microbatch)"),
      ("CPU", plan.cpu, earlier.plan.cpu), ("ISA", isa, earlier.isa),
      ("options", plan.arguments.joined(separator: " "), earlier.plan.arguments.joined(separator: " ")),
    ].filter { $1 != $2 }.map { "\($0) \($1), earlier \($2)" }
  }
}
