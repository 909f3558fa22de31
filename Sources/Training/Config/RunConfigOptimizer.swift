package struct OptimizerConfig: Codable, Sendable, Equatable {
  package enum Name: String, ConfigChoice { case sgd, adam, adamw, rmsprop }

  package var name = Name.adamw
  package var learningRate = 0.001
  package var momentum = 0.0
  package var nesterov = false
  package var weightDecay = 0.01
  package var l1 = 0.0
  package var beta1 = 0.9
  package var beta2 = 0.999
  package var epsilon = 1e-8
  package var alpha = 0.99
  package var centered = false
  package var decayBiasesAndNorms = true

  package init() {}

  enum CodingKeys: String, CodingKey {
    case name
    case learningRate = "learning_rate"
    case momentum, nesterov
    case weightDecay = "weight_decay"
    case l1, beta1, beta2, epsilon, alpha, centered
    case decayBiasesAndNorms = "decay_biases_and_norms"
  }
}

package struct ScheduleConfig: Codable, Sendable, Equatable {
  package enum Name: String, ConfigChoice {
    case constant, step
    case multiStep = "multi_step"
    case cosine, polynomial
    case oneCycle = "one_cycle"
    case plateau
  }

  package var name = Name.cosine
  package var warmupEpochs = 1.0
  /// `step`: epochs between two reductions.
  package var stepEpochs = 30
  /// `multi_step`: the epochs at which the rate is reduced.
  package var milestones: [Int] = []
  /// `step`, `multi_step`: what the rate is multiplied with.
  package var gamma = 0.1
  /// `cosine`, `polynomial`, `plateau`: the lowest learning rate.
  package var minimum = 0.0
  /// `polynomial`: the exponent.
  package var power = 1.0
  package var oneCycle = OneCycleConfig()
  package var plateau = PlateauConfig()

  enum CodingKeys: String, CodingKey {
    case name
    case warmupEpochs = "warmup_epochs"
    case stepEpochs = "step_epochs"
    case milestones, gamma, minimum, power
    case oneCycle = "one_cycle"
    case plateau
  }
}

package struct OneCycleConfig: Codable, Sendable, Equatable {
  /// The share of the steps in which the rate rises.
  package var riseShare = 0.3
  /// The first rate is `optimizer.learning_rate` over this.
  package var startDivisor = 25.0
  /// The last rate is the first over this.
  package var finalDivisor = 10000.0

  enum CodingKeys: String, CodingKey {
    case riseShare = "pct_start"
    case startDivisor = "div_factor"
    case finalDivisor = "final_div_factor"
  }
}

package struct PlateauConfig: Codable, Sendable, Equatable {
  /// Evaluations without an improvement that are borne.
  package var patience = 10
  package var factor = 0.1
  /// Relative: an improvement on a best of 0.5 begins at 0.5 · (1 ± threshold).
  package var threshold = 0.0001
}
