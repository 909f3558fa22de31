import Layers
import Models

/// Everything that a run can be told, each key with its default. `configs/reference.yaml` says in a
/// sentence what each one does; the names in the file are the names here in snake_case.
package struct RunConfig: Codable, Sendable, Equatable {
  package var seed = 42
  package var model = ModelConfig()
  package var data = DataConfig()
  package var training = TrainingConfig()
  package var loss = LossConfig()
  package var distillation = DistillationConfig()
  package var transfer = TransferConfig()
  package var optimizer = OptimizerConfig()
  package var schedule = ScheduleConfig()
  package var ema = AveragesConfig()
  package var reduce = ReduceConfig()
  package var checkpoint = CheckpointConfig()
  package var earlyStopping = EarlyStoppingConfig()
  package var engine = EngineConfig()
  package var placement = PlacementConfig()
  package var checks = ChecksConfig()
  package var log = LogConfig()

  package init() {}

  enum CodingKeys: String, CodingKey {
    case seed, model, data, training, loss, distillation, transfer, optimizer, schedule, ema, reduce,
      checkpoint
    case earlyStopping = "early_stopping"
    case engine, placement, checks, log
  }
}

/// A key that takes one of a few words. Decoding another word names the choices.
package protocol ConfigChoice: RawRepresentable, CaseIterable, Codable, Sendable where RawValue == String {}

extension ConfigChoice {
  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let word = try container.decode(String.self)
    guard let choice = Self(rawValue: word) else {
      let choices = Self.allCases.map(\.rawValue).joined(separator: ", ")
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "expects one of \(choices); got \"\(word)\"")
    }
    self = choice
  }
}

/// What is measured on the validation split to find the best epoch.
package enum MonitoredMetric: String, ConfigChoice {
  case accuracy
  case balancedAccuracy = "balanced_accuracy"
  case loss
  case macroAUC = "macro_auc"

  package var higherIsBetter: Bool { self != .loss }
}

package struct TrainingConfig: Codable, Sendable, Equatable {
  package var epochs = 10
  package var batch = 128
  package var microbatch = 16
  /// Microbatches in flight in a lane; 0 for as many as are fastest (`TrainingStep.Settings.waveInFlight`).
  package var wave = 0
  package var activationCheckpointing = ActivationCheckpointing.none
  /// Threads that compute in a rank; 0 for the rank's share of the cores.
  package var lanes = 0
  package var batchStatistics = BatchStatistics.microbatch
  package var dropLast = false
  /// Epochs between evaluations.
  package var evaluateEvery = 1

  enum CodingKeys: String, CodingKey {
    case epochs, batch, microbatch, wave
    case activationCheckpointing = "activation_checkpointing"
    case lanes
    case batchStatistics = "batch_statistics"
    case dropLast = "drop_last"
    case evaluateEvery = "evaluate_every"
  }
}

package struct LossConfig: Codable, Sendable, Equatable {
  package var labelSmoothing = 0.0
  package var classWeights = ClassWeights.equal

  enum CodingKeys: String, CodingKey {
    case labelSmoothing = "label_smoothing"
    case classWeights = "class_weights"
  }
}

/// How much an image of each class counts in the loss: `[]`, `balanced`, or a list in class order.
package enum ClassWeights: Codable, Sendable, Equatable {
  case equal
  /// images / (classes · images of the class), over the training split.
  case balanced
  case listed([Double])

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let weights = try? container.decode([Double].self) {
      self = weights.isEmpty ? .equal : .listed(weights)
    } else if let word = try? container.decode(String.self), word == "balanced" {
      self = .balanced
    } else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "expects \"balanced\" or a list of numbers, one for each class")
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .equal: try container.encode([Double]())
    case .balanced: try container.encode("balanced")
    case .listed(let weights): try container.encode(weights)
    }
  }
}

package struct CheckpointConfig: Codable, Sendable, Equatable {
  /// Epochs between checkpoints; 0 for none on account of epochs.
  package var everyEpochs = 1
  /// Steps between checkpoints; 0 for none on account of steps.
  package var everySteps = 0
  package var keep = 3
  package var bestMetric = MonitoredMetric.accuracy

  enum CodingKeys: String, CodingKey {
    case everyEpochs = "every_epochs"
    case everySteps = "every_steps"
    case keep
    case bestMetric = "best_metric"
  }
}

package struct EarlyStoppingConfig: Codable, Sendable, Equatable {
  /// Evaluations without an improvement of `checkpoint.best_metric` before the run stops; 0 for never.
  package var patience = 0
  /// How much better than the best an evaluation must be to count.
  package var minimumDelta = 0.0

  enum CodingKeys: String, CodingKey {
    case patience
    case minimumDelta = "minimum_delta"
  }
}

package struct EngineConfig: Codable, Sendable, Equatable {
  package var convolution = ConvolutionChoice.auto
  /// For `tuned`: what computes each layer. Found when a run begins, where there is nothing.
  package var algorithms: [LayerAlgorithms] = []
  package var precision = Precision.fp32
}

package struct PlacementConfig: Codable, Sendable, Equatable {
  /// Whether lanes are bound to cores, where a rank has as many lanes as cores of its own.
  package var pin = true
}

/// What is watched while a run goes on.
package struct ChecksConfig: Codable, Sendable, Equatable {
  /// Whether weights and optimizer state are hashed where they lie, and checked before they are used.
  package var memory = true
  /// Steps between two of which a microbatch is computed twice; 0 for never.
  package var recomputeEvery = 100

  package init(memory: Bool = true, recomputeEvery: Int = 100) {
    (self.memory, self.recomputeEvery) = (memory, recomputeEvery)
  }

  enum CodingKeys: String, CodingKey {
    case memory
    case recomputeEvery = "recompute_every"
  }
}

extension ConvolutionChoice: ConfigChoice {}
extension Precision: ConfigChoice {}
extension BatchStatistics: ConfigChoice {}
extension ActivationCheckpointing: ConfigChoice {}
extension WeightsMatch: ConfigChoice {}
extension InputAdaptation: ConfigChoice {}

package struct LogConfig: Codable, Sendable, Equatable {
  /// Steps between lines of the log.
  package var everySteps = 10

  enum CodingKeys: String, CodingKey { case everySteps = "every_steps" }
}
