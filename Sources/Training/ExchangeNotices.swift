import Collectives

extension TrainingStep {
  /// What to tell the user of how sums and values travel in a job of several ranks: a line at the start.
  package var exchangeNotices: [String] {
    guard reducer.buckets.ranks > 1 else { return [] }
    let traffic = traffic
    let megabytes = (Double(traffic.bytesSent) / 1e5).rounded() / 10
    let way =
      reducer.groupCount == 1
      ? "through memory that the ranks share"
      : "\(traffic.partialSums) partial sums, \(megabytes) MB a step sent by this rank"
    let bucket = (reducer.buckets.ranges.map(\.count).max() ?? 0) * 4
    return (reducer.notice.map { [$0] } ?? [])
      + ["gradients in \(reducer.buckets.count) buckets of up to \(bucket >> 10) KiB, \(way)"]
  }
}
