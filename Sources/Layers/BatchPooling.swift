/// Over what batch norm takes its statistics in training.
package enum BatchStatistics: String, CaseIterable, Sendable {
  /// Each microbatch by itself.
  case microbatch
  /// All images of a step, on all ranks.
  case globalBatch = "global_batch"
}

/// How what two parts of a batch know of each channel becomes what both together know.
///
/// A record is two rows of `channels` doubles, a and b, and behind them n, the number of values per channel.
package enum PoolingRule: Sendable {
  /// a = mean, b = Σ (x − mean)², by Chan, Golub & LeVeque 1979 (Stanford STAN-CS-79-773): with
  /// δ = a₂ − a₁ and n = n₁ + n₂ it is `a = a₁ + δ·n₂/n`, `b = b₁ + b₂ + δ²·n₁·n₂/n`.
  case moments
  /// Each row is a sum.
  case sums

  /// Doubles of a record; whole vectors of floats, so that what lies behind keeps its border.
  package static func recordCount(channels: Int) -> Int { 2 * channels + 8 }

  /// Overwrites `record` with what it and `other`, which stands to its right in the tree, are together.
  package func merge(
    _ other: UnsafePointer<Double>, into record: UnsafeMutablePointer<Double>, channels: Int
  ) {
    let (n1, n2) = (record[2 * channels], other[2 * channels])
    switch self {
    case .moments:
      let (share, weight) = (n2 / (n1 + n2), n1 * n2 / (n1 + n2))
      for channel in 0..<channels {
        let delta = other[channel] - record[channel]
        record[channel] += delta * share
        record[channels + channel] += other[channels + channel] + delta * delta * weight
      }
    case .sums:
      for place in 0..<(2 * channels) { record[place] += other[place] }
    }
    record[2 * channels] = n1 + n2
  }
}

/// The records of the microbatches of a wave.
package typealias PooledRecords = UnsafeBufferPointer<UnsafeMutablePointer<Double>>

/// Brings together what the microbatches of a step know, wherever they are computed, in the order of the
/// reduction tree. Layers don't know how: a lane gives its layers an object that does.
///
/// Everyone who computes a part of the batch calls it for the same layers in the same order, and waits in it
/// for the others.
package protocol BatchPooling: AnyObject {
  /// Overwrites the records of this lane's microbatches, in their order, with that of the whole batch.
  func pool(_ records: PooledRecords, channels: Int, by rule: PoolingRule)
}

/// A batch of which nobody else has a part: the microbatches of one wave, added up in their order.
package final class PoolingAlone: BatchPooling {
  package init() {}

  package func pool(_ records: PooledRecords, channels: Int, by rule: PoolingRule) {
    guard let first = records.first else { return }
    for other in records.dropFirst() { rule.merge(other, into: first, channels: channels) }
    for other in records.dropFirst() {
      other.update(from: first, count: PoolingRule.recordCount(channels: channels))
    }
  }
}
