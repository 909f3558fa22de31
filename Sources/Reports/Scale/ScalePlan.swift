import Training

/// What a scaling experiment measures: written beside its results, so that a report can be made of them later.
package struct ScalePlan: Codable, Sendable, Equatable {
  /// What stays the same when workers are added.
  package enum Scaling: String, Codable, Sendable, CaseIterable {
    /// The images of a lane in a step.
    case weak
    /// The images of a step.
    case strong
  }

  /// Some ranks of some lanes each; a worker is a lane.
  package struct Point: Codable, Hashable, Sendable {
    package let scaling: Scaling
    package let ranks: Int
    package let lanes: Int
    /// Images in a step, over all workers.
    package let batch: Int

    package init(scaling: Scaling, ranks: Int, lanes: Int, batch: Int) {
      (self.scaling, self.ranks, self.lanes, self.batch) = (scaling, ranks, lanes, batch)
    }

    package var workers: Int { ranks * lanes }
    /// Of files.
    package var name: String { "\(scaling.rawValue)-\(ranks)x\(lanes)-\(batch)" }
    package var text: String { "\(ranks) × \(lanes)" }
  }

  package var model: String
  package var size: Int
  package var microbatch: Int
  /// What `bench step` is told beside the point's own.
  package var arguments: [String]
  package var points: [Point]
  package var rounds: Int
  /// Cores of a machine, hyper-threads counted once.
  package var cores: Int
  package var cpu: String
  package var version: String
  /// The words that start ranks.
  package var launcher: [String]
  /// Money for an hour of a core, if known.
  package var coreHourPrice: Double?
  /// Whether as many independent processes run beside each point.
  package var independent: Bool

  enum CodingKeys: String, CodingKey {
    case model, size, microbatch, arguments, points, rounds, cores, cpu, version, launcher, independent
    case coreHourPrice = "core_hour_price"
  }

  package init(
    model: String, size: Int, microbatch: Int, arguments: [String], points: [Point], rounds: Int,
    cores: Int, cpu: String, version: String, launcher: [String], coreHourPrice: Double?,
    independent: Bool
  ) {
    (self.model, self.size, self.microbatch) = (model, size, microbatch)
    (self.arguments, self.points, self.rounds) = (arguments, points, rounds)
    (self.cores, self.cpu, self.version, self.launcher) = (cores, cpu, version, launcher)
    (self.coreHourPrice, self.independent) = (coreHourPrice, independent)
  }

  /// The points of ranks × lanes, each kind of scaling in the order of workers. `imagesPerLane` is of weak
  /// scaling, `batch` of strong scaling.
  package static func points(
    ranks: [Int], lanes: [Int], scalings: [Scaling], imagesPerLane: Int, batch: Int
  ) -> [Point] {
    scalings.flatMap { scaling in
      var points: [Point] = []
      for ranks in ranks {
        for lanes in lanes {
          let point = Point(
            scaling: scaling, ranks: ranks, lanes: lanes,
            batch: scaling == .weak ? imagesPerLane * ranks * lanes : batch)
          if !points.contains(point) { points.append(point) }
        }
      }
      return points.sorted { ($0.workers, $0.ranks) < ($1.workers, $1.ranks) }
    }
  }

  /// The order of a round: every second one backwards, so that whatever drifts meets all points alike.
  package func order(ofRound round: Int) -> [Point] { round % 2 == 0 ? points : points.reversed() }

  /// Images of a step of each independent process beside a point.
  package func independentBatch(of point: Point) -> Int { max(1, point.batch / point.workers) }
}

/// What was measured of a point in one round.
package struct ScaleMeasurement: Codable, Sendable, Equatable {
  package let step: StepRecord
  /// Images a second of as many independent processes at the same time, all together; nil where none ran.
  package let independent: Double?
  /// Bytes a second of a reduction of the same gradients alone, 2 (n - 1) / n of the buffer; nil for one rank.
  package let busBandwidth: Double?

  enum CodingKeys: String, CodingKey {
    case step, independent
    case busBandwidth = "bus_bandwidth"
  }

  package init(step: StepRecord, independent: Double?, busBandwidth: Double?) {
    (self.step, self.independent, self.busBandwidth) = (step, independent, busBandwidth)
  }
}
