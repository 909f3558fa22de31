package struct OptimizerConfig: Codable, Sendable, Equatable {
  package enum Name: String, ConfigChoice { case sgd, adam, adamw, rmsprop, lars, lamb }

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
  /// `lars`: what a layer's rate is, as a share of ‖w‖ / ‖gradient‖.
  package var trustCoefficient = 0.001
  package var adaptBiasesAndNorms = false
  /// The largest norm of the whole gradient; 0 for any.
  package var clipNorm = 0.0
  /// The largest absolute value of a gradient's element; 0 for any.
  package var clipValue = 0.0
  /// Arrays with rates of their own; the first that an array's name fits counts.
  package var groups: [ParameterGroup] = []
  /// What the rate is multiplied with from each block to the one before it; 1 for equal rates.
  package var layerDecay = 1.0

  package init() {}

  enum CodingKeys: String, CodingKey {
    case name
    case learningRate = "learning_rate"
    case momentum, nesterov
    case weightDecay = "weight_decay"
    case l1, beta1, beta2, epsilon, alpha, centered
    case decayBiasesAndNorms = "decay_biases_and_norms"
    case trustCoefficient = "trust_coefficient"
    case adaptBiasesAndNorms = "adapt_biases_and_norms"
    case clipNorm = "clip_norm"
    case clipValue = "clip_value"
    case groups
    case layerDecay = "layer_decay"
  }
}

/// Arrays of the network that are updated otherwise than the others.
package struct ParameterGroup: Codable, Sendable, Equatable {
  /// Patterns of names (`NamePattern`).
  package var names: [String]
  /// Multiplies the learning rate.
  package var rateScale: Double
  /// In the place of `optimizer.weight_decay`; nil for that.
  package var weightDecay: Double?

  enum CodingKeys: String, CodingKey, CaseIterable {
    case names
    case rateScale = "rate_scale"
    case weightDecay = "weight_decay"
  }

  package init(names: [String], rateScale: Double = 1, weightDecay: Double? = nil) {
    (self.names, self.rateScale, self.weightDecay) = (names, rateScale, weightDecay)
  }

  package init(from decoder: any Decoder) throws {
    try decoder.refuseKeys(except: CodingKeys.allCases.map(\.rawValue))
    let container = try decoder.container(keyedBy: CodingKeys.self)
    names = try container.decode([String].self, forKey: .names)
    rateScale = try container.decodeIfPresent(Double.self, forKey: .rateScale) ?? 1
    weightDecay = try container.decodeIfPresent(Double.self, forKey: .weightDecay)
  }
}

extension Decoder {
  /// Throws where an item of a list has a key that isn't known: items have no defaults to lay them over.
  func refuseKeys(except known: [String]) throws {
    let container = try container(keyedBy: AnyKey.self)
    guard let unknown = container.allKeys.first(where: { !known.contains($0.stringValue) }) else { return }
    throw DecodingError.dataCorruptedError(
      forKey: unknown, in: container,
      debugDescription: "is an unknown key (expects one of \(known.joined(separator: ", ")))")
  }
}

private struct AnyKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

/// An exponential moving average of parameters and running statistics.
package struct AveragesConfig: Codable, Sendable, Equatable {
  /// How much of the average is kept at a step; 0 for no average.
  package var decay = 0.0

  package init() {}
}

package struct ScheduleConfig: Codable, Sendable, Equatable {
  package enum Name: String, ConfigChoice {
    case constant, step
    case multiStep = "multi_step"
    case cosine, polynomial
    case oneCycle = "one_cycle"
    case plateau
  }

  /// How the learning rate follows the size of the batch.
  package enum Scaling: String, ConfigChoice {
    case none, linear
    case squareRoot = "square_root"
  }

  package var name = Name.cosine
  package var scaling = Scaling.none
  /// The batch that `optimizer.learning_rate` is meant for.
  package var referenceBatch = 256
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
    case name, scaling
    case referenceBatch = "reference_batch"
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

extension RunConfig {
  /// The learning rate that the schedule starts from or rises to: `optimizer.learning_rate` for a batch of
  /// `schedule.reference_batch`, times batch / reference (linear: Goyal et al., arXiv:1706.02677) or the root
  /// of it (Krizhevsky, arXiv:1404.5997).
  package var scaledLearningRate: Double {
    let ratio = Double(training.batch) / Double(schedule.referenceBatch)
    switch schedule.scaling {
    case .none: return optimizer.learningRate
    case .linear: return optimizer.learningRate * ratio
    case .squareRoot: return optimizer.learningRate * ratio.squareRoot()
    }
  }
}
