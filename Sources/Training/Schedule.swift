import Glibc

/// The learning rate at every step: a pure function of the step, and for `plateau` of a saved state too,
/// so that nothing can get out of step when a run resumes.
///
/// With t steps done, T in all, E steps an epoch and w = warm-up steps, for t < w the rate rises
/// linearly: the schedule's value times (t + 1) / w. `cosine`, `polynomial` and `one_cycle` spread
/// themselves over the T − w steps after the warm-up; `step` and `multi_step` count epochs from the start.
package struct Schedule: Sendable {
  package let config: ScheduleConfig
  package let learningRate: Double
  package let stepsPerEpoch: Int
  package let epochs: Int

  package init(_ config: ScheduleConfig, learningRate: Double, stepsPerEpoch: Int, epochs: Int) {
    precondition(
      stepsPerEpoch > 0 && epochs > 0, "a schedule expects steps, got \(stepsPerEpoch) × \(epochs)")
    self.config = config
    self.learningRate = learningRate
    self.stepsPerEpoch = stepsPerEpoch
    self.epochs = epochs
  }

  package var totalSteps: Int { stepsPerEpoch * epochs }
  package var warmupSteps: Int { Int((config.warmupEpochs * Double(stepsPerEpoch)).rounded()) }

  /// The rate of the step that follows `step` finished ones.
  package func learningRate(at step: Int, plateau: PlateauState = PlateauState()) -> Double {
    let value = scheduled(at: step, plateau: plateau)
    return step < warmupSteps ? value * Double(step + 1) / Double(warmupSteps) : value
  }

  private func scheduled(at step: Int, plateau: PlateauState) -> Double {
    let epoch = step / stepsPerEpoch
    let decaying = max(1, totalSteps - warmupSteps)
    let decayed = min(max(0, step - warmupSteps), decaying)
    let progress = Double(decayed) / Double(decaying)
    switch config.name {
    case .constant:
      return learningRate
    case .step:
      return learningRate * pow(config.gamma, Double(epoch / config.stepEpochs))
    case .multiStep:
      return learningRate * pow(config.gamma, Double(config.milestones.count { $0 <= epoch }))
    case .cosine:
      return config.minimum + (learningRate - config.minimum) * (1 + cos(.pi * progress)) / 2
    case .polynomial:
      return config.minimum + (learningRate - config.minimum) * pow(1 - progress, config.power)
    case .oneCycle:
      return oneCycle(at: decayed, of: decaying)
    case .plateau:
      return max(config.minimum, learningRate * pow(config.plateau.factor, Double(plateau.reductions)))
    }
  }

  /// Up from the first rate to the learning rate and down to the last, both along half a cosine
  /// (Smith & Topin, arXiv:1708.07120); the step numbers of both ends are those of PyTorch's OneCycleLR.
  private func oneCycle(at step: Int, of steps: Int) -> Double {
    let first = learningRate / config.oneCycle.startDivisor
    let last = first / config.oneCycle.finalDivisor
    let (now, end) = (Double(step), Double(steps - 1))
    let peak = max(0, config.oneCycle.riseShare * Double(steps) - 1)
    func along(_ from: Double, _ to: Double, _ share: Double) -> Double {
      to + (from - to) / 2 * (1 + cos(.pi * min(1, share)))
    }
    if now < peak { return along(first, learningRate, now / peak) }
    return end > peak ? along(learningRate, last, (now - peak) / (end - peak)) : learningRate
  }
}

/// What reduce-on-plateau remembers between evaluations.
package struct PlateauState: Codable, Equatable, Sendable {
  /// The best value so far; nil before the first evaluation.
  package private(set) var best: Double?
  package private(set) var evaluationsSinceBest = 0
  /// How often the rate was reduced.
  package private(set) var reductions = 0

  package init() {}

  enum CodingKeys: String, CodingKey {
    case best
    case evaluationsSinceBest = "evaluations_since_best"
    case reductions
  }

  /// The state after another evaluation: more than `patience` in a row without a relative improvement
  /// of `threshold` reduce the rate once. As PyTorch's ReduceLROnPlateau with a relative threshold.
  package func after(_ value: Double, metric: MonitoredMetric, config: PlateauConfig) -> PlateauState {
    var next = self
    let improves = best.map {
      metric.higherIsBetter ? value > $0 * (1 + config.threshold) : value < $0 * (1 - config.threshold)
    }
    if improves ?? !value.isNaN {
      next.best = value
      next.evaluationsSinceBest = 0
    } else {
      next.evaluationsSinceBest += 1
    }
    if next.evaluationsSinceBest > config.patience {
      next.evaluationsSinceBest = 0
      next.reductions += 1
    }
    return next
  }
}
