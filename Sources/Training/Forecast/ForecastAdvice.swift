/// What stops a job from scaling first, and what would move that: found by forecasting it without each thing in turn,
/// and with each setting changed.
package struct ForecastAdvice: Codable, Sendable, Equatable {
  /// What a step would gain if one thing cost nothing.
  package struct Limit: Codable, Sendable, Equatable {
    package let what: String
    package let gainSeconds: Double

    enum CodingKeys: String, CodingKey {
      case what
      case gainSeconds = "gain_seconds"
    }
  }

  /// A setting and what efficiency it would give.
  package struct Lever: Codable, Sendable, Equatable {
    package let setting: String
    package let efficiency: Double
  }

  package let efficiency: Double
  package let stepSeconds: Double
  /// Greatest first.
  package let limits: [Limit]
  /// Best of each kind, those that gain most first.
  package let levers: [Lever]

  enum CodingKeys: String, CodingKey {
    case efficiency, limits, levers
    case stepSeconds = "step_seconds"
  }

  /// Gains below this share of a step aren't told.
  private static let noticeable = 0.005

  package init(_ job: ForecastJob) {
    let now = StepForecast(job)
    efficiency = now.efficiency
    stepSeconds = now.stepSeconds
    func without(_ what: String, _ change: (inout ForecastJob) -> Void) -> Limit {
      var other = job
      change(&other)
      return Limit(what: what, gainSeconds: max(0, now.stepSeconds - StepForecast(other).stepSeconds))
    }
    limits = [
      without("the bandwidth of a node's link") { $0.network.bytesPerSecond = .infinity },
      without("the latency of messages") { $0.network.latencySeconds = 0 },
      without("what messages cost the lane that sends them, by their number") {
        $0.network.messageSeconds = 0
      },
      without("what sockets cost the lane, by bytes") { $0.network.secondsPerByte = 0 },
      without("the slowest rank of so many, whom all wait for") { $0.noise = false },
      without("adding sums up") { $0.parts.addBytesPerSecond = .infinity },
    ].filter { $0.gainSeconds > Self.noticeable * now.stepSeconds }.sorted { $0.gainSeconds > $1.gainSeconds }

    func best(_ settings: [(String, (inout ForecastJob) -> Void)]) -> Lever? {
      settings.map { setting, change -> Lever in
        var other = job
        change(&other)
        return Lever(setting: setting, efficiency: StepForecast(other).efficiency)
      }.max { $0.efficiency < $1.efficiency }
    }
    let bytes = job.buckets.ranges.map(\.count).max().map { $0 * MemoryLayout<Float>.stride } ?? 0
    let sizes = [8, 4, 2].map { bytes / $0 } + [2, 4].map { bytes * $0 }
    let buckets = sizes.map { size -> (String, (inout ForecastJob) -> Void) in
      ("reduce.bucket_bytes \(size)", { $0.bucketBytes = size })
    }
    let fans = [0, 2, 4, 8, 16, 32, 64].filter { $0 != job.fanIn && $0 < job.nodes }
      .map { fan -> (String, (inout ForecastJob) -> Void) in
        ("reduce.fan_in \(fan)\(fan == 0 ? " (one level)" : "")", { $0.fanIn = fan })
      }
    let more: [(String, (inout ForecastJob) -> Void)] = [
      ("twice the microbatches of a lane", { $0.microbatches *= 2 })
    ]
    levers = [buckets, job.nodes > 1 ? fans : [], more].compactMap { best($0) }
      .filter { $0.efficiency > now.efficiency + Self.noticeable }.sorted { $0.efficiency > $1.efficiency }
  }

  package var text: String {
    func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }
    func milliseconds(_ seconds: Double) -> String { "\((seconds * 1e4).rounded() / 10) ms" }
    var text = "\(percent(efficiency)) of one lane's speed for each lane. "
    if limits.isEmpty {
      text += "Nothing stops scaling here: no cost but computing is worth half a percent of the step."
    } else {
      text +=
        "What stops scaling first is \(limits[0].what): without it a step of \(milliseconds(stepSeconds)) "
      text += "would take \(milliseconds(limits[0].gainSeconds)) less."
      if limits.count > 1 {
        text +=
          " Then: "
          + limits.dropFirst().map { "\($0.what) (\(milliseconds($0.gainSeconds)))" }.joined(separator: ", ")
        text += "."
      }
    }
    text +=
      levers.isEmpty
      ? " No bucket size, fan-in or twice the microbatches would gain half a percent."
      : " What would help: "
        + levers.map { "\($0.setting): \(percent($0.efficiency))" }.joined(separator: "; ") + "."
    return text
  }
}
