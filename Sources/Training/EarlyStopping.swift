/// The best evaluation so far and how long ago it was: what chooses the best checkpoint and what stops a
/// run that no longer gets better. Saved with every checkpoint.
package struct BestSoFar: Codable, Equatable, Sendable {
  /// nil before the first evaluation.
  package private(set) var value: Double?
  /// The epoch, counted from 0, and the finished steps at the best evaluation; nil before the first.
  package private(set) var epoch: Int?
  package private(set) var step: Int?
  package private(set) var evaluationsSinceBest = 0
  /// The value that an evaluation must beat by `minimum_delta` for patience to start anew.
  private var reference: Double?

  package init() {}

  enum CodingKeys: String, CodingKey {
    case value, epoch, step
    case evaluationsSinceBest = "evaluations_since_best"
    case reference
  }

  /// The state after an evaluation. Any improvement makes the new best; only one by more than
  /// `minimumDelta` renews the patience. A value that is not a number improves nothing.
  package func after(
    _ value: Double, metric: MonitoredMetric, epoch: Int, step: Int, minimumDelta: Double
  ) -> BestSoFar {
    func beats(_ old: Double?, by delta: Double) -> Bool {
      guard let old else { return !value.isNaN }
      return metric.higherIsBetter ? value > old + delta : value < old - delta
    }
    var next = self
    if beats(self.value, by: 0) {
      (next.value, next.epoch, next.step) = (value, epoch, step)
    }
    if beats(reference, by: minimumDelta) {
      next.reference = value
      next.evaluationsSinceBest = 0
    } else {
      next.evaluationsSinceBest += 1
    }
    return next
  }

  /// Whether patience is at an end.
  package func stops(_ config: EarlyStoppingConfig) -> Bool {
    config.patience > 0 && evaluationsSinceBest >= config.patience
  }
}
