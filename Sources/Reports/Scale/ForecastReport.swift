import Foundation
import Training

/// Forecasts of one network's steps at several sizes, beside what was replayed and measured.
package struct ForecastReport: Codable, Sendable, Equatable {
  /// Steps from a standing start, by SimGrid and by the closed form.
  package struct Replay: Codable, Sendable, Equatable {
    package let stepSeconds: Double
    package let walkStepSeconds: Double

    enum CodingKeys: String, CodingKey {
      case stepSeconds = "step_seconds"
      case walkStepSeconds = "walk_step_seconds"
    }

    package init(stepSeconds: Double, walkStepSeconds: Double) {
      (self.stepSeconds, self.walkStepSeconds) = (stepSeconds, walkStepSeconds)
    }

    /// Of the closed form from the replay.
    package var difference: Double { walkStepSeconds / stepSeconds - 1 }
  }

  package struct Row: Codable, Sendable, Equatable {
    package let nodes: Int
    package let ranksPerNode: Int
    package let lanes: Int
    package let images: Int
    package let network: NetworkFigures
    package let bucketBytes: Int
    package let fanIn: Int
    package let forecast: StepForecast
    package let replay: Replay?
    /// Of the median step.
    package let measuredSeconds: Double?
    package let advice: ForecastAdvice?

    enum CodingKeys: String, CodingKey {
      case nodes, lanes, images, network, forecast, replay, advice
      case ranksPerNode = "ranks_per_node"
      case bucketBytes = "bucket_bytes"
      case fanIn = "fan_in"
      case measuredSeconds = "measured_seconds"
    }

    package var ranks: Int { nodes * ranksPerNode }
    /// Of the forecast from what was measured.
    package var error: Double? { measuredSeconds.map { forecast.stepSeconds / $0 - 1 } }
  }

  package let model: String
  package let size: Int
  package let microbatch: Int
  package let cpu: String
  package let isa: String
  package private(set) var rows: [Row] = []

  package init(_ parts: StepParts) {
    (model, size, microbatch) = (parts.model, parts.size, parts.microbatch)
    (cpu, isa) = (parts.cpu, parts.isa)
  }

  package mutating func add(_ job: ForecastJob, replay: Replay?, measured: StepRecord?) {
    let buckets = job.buckets
    rows.append(
      Row(
        nodes: job.nodes, ranksPerNode: job.ranksPerNode, lanes: job.lanes, images: job.images,
        network: job.network, bucketBytes: (buckets.ranges.map(\.count).max() ?? 0) * 4, fanIn: job.fanIn,
        forecast: StepForecast(job), replay: replay, measuredSeconds: measured?.stepSeconds,
        advice: job.nodes > 1 ? ForecastAdvice(job) : nil))
  }

  /// Absolute errors of the forecast against what was measured.
  package var errors: Spread? { Spread(known: rows.compactMap { $0.error.map(abs) }) }

  package var text: String {
    var text =
      "\(model) 3×\(size)×\(size), microbatches of \(microbatch), parts measured on \(cpu), \(isa)\n\n"
    text += TextTable.text([header] + rows.map(cells))
    func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }
    if let errors {
      text += "\n\nerror of the forecast: median \(percent(errors.median)), worst \(percent(errors.greatest))"
    }
    if let replays = Spread(known: rows.compactMap { $0.replay.map { abs($0.difference) } }) {
      text += "\n\nclosed form against SimGrid: worst \(percent(replays.greatest))"
    }
    for row in rows {
      guard let advice = row.advice, isLargest(row) else { continue }
      text +=
        "\n\n\(row.nodes) nodes of \(row.ranksPerNode) × \(row.lanes) at \(Self.gbits(row.network.bytesPerSecond)) Gbit/s: \(advice.text)"
    }
    return text
  }

  /// Of the rows with the same network and ranks on a node.
  private func isLargest(_ row: Row) -> Bool {
    !rows.contains {
      $0.network == row.network && $0.ranksPerNode == row.ranksPerNode && $0.nodes > row.nodes
    }
  }

  static func gbits(_ bytesPerSecond: Double) -> String {
    String(format: "%.4g", bytesPerSecond * 8e-9)
  }

  private var hasReplays: Bool { rows.contains { $0.replay != nil } }
  private var hasMeasured: Bool { rows.contains { $0.measuredSeconds != nil } }

  private var header: [String] {
    [
      "nodes", "ranks × lanes", "Gbit/s", "images", "step ms", "images/s", "efficiency", "compute", "noise",
      "sums, updates",
      "messages", "wait", "link busy", "messages/rank", "MB/node",
    ]
      + (hasReplays ? ["SimGrid ms", "walk ms", "differs"] : [])
      + (hasMeasured ? ["measured ms", "error"] : [])
  }

  private func cells(_ row: Row) -> [String] {
    let forecast = row.forecast
    func milliseconds(_ seconds: Double) -> String { String(format: "%.1f", seconds * 1e3) }
    func percent(_ share: Double) -> String { String(format: "%+.1f %%", share * 100) }
    var cells = [
      "\(row.nodes)", "\(row.ranks) × \(row.lanes)", Self.gbits(row.network.bytesPerSecond), "\(row.images)",
      milliseconds(forecast.stepSeconds), Figures.speed(forecast.imagesPerSecond),
      String(format: "%.1f %%", forecast.efficiency * 100), milliseconds(forecast.computeSeconds),
      milliseconds(forecast.noiseSeconds), milliseconds(forecast.addSeconds + forecast.updateSeconds),
      milliseconds(forecast.messageSeconds), milliseconds(forecast.waitSeconds),
      milliseconds(forecast.linkSeconds),
      "\(forecast.messagesPerRank)", String(format: "%.1f", forecast.bytesPerNode * 1e-6),
    ]
    if hasReplays {
      cells +=
        row.replay.map {
          [milliseconds($0.stepSeconds), milliseconds($0.walkStepSeconds), percent($0.difference)]
        } ?? ["-", "-", "-"]
    }
    if hasMeasured {
      cells += [row.measuredSeconds.map(milliseconds) ?? "-", row.error.map(percent) ?? "-"]
    }
    return cells
  }

  package var csv: String {
    var lines = [
      "nodes,ranks_per_node,lanes,images,bytes_per_second,latency_seconds,message_seconds,bucket_bytes,fan_in,"
        + "step_seconds,images_per_second,efficiency,compute_seconds,noise_seconds,add_seconds,update_seconds,"
        + "messages_seconds,wait_seconds,link_seconds,messages_per_rank,bytes_per_node,simgrid_step_seconds,"
        + "walk_step_seconds,measured_seconds"
    ]
    for row in rows {
      let (forecast, network) = (row.forecast, row.network)
      let head = [row.nodes, row.ranksPerNode, row.lanes, row.images].map { "\($0)" }
      let numbers = [
        forecast.stepSeconds, forecast.imagesPerSecond, forecast.efficiency, forecast.computeSeconds,
        forecast.noiseSeconds, forecast.addSeconds, forecast.updateSeconds, forecast.messageSeconds,
        forecast.waitSeconds, forecast.linkSeconds,
      ].map { "\($0)" }
      let others = [row.replay?.stepSeconds, row.replay?.walkStepSeconds, row.measuredSeconds]
        .map { $0.map { "\($0)" } ?? "" }
      lines.append(
        (head + [
          "\(network.bytesPerSecond)", "\(network.latencySeconds)", "\(network.messageSeconds)",
          "\(row.bucketBytes)", "\(row.fanIn)",
        ] + numbers
          + ["\(forecast.messagesPerRank)", "\(forecast.bytesPerNode)"] + others).joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
