/// Who is told what happens in a run: a terminal, a log file, a metrics file, a report. `Training`
/// says what it tells; `Reports` implements it; `CLI` introduces them. Only rank 0 has sinks.
package protocol RunSink {
  func receive(_ event: RunEvent)
}

/// What happens in a run, in the order of its happening.
package enum RunEvent: Sendable {
  case started(RunDescription)
  case step(StepReport)
  case evaluating(split: String, done: Int, of: Int)
  case epoch(EpochReport)
  case checkpoint(path: String, step: Int, isBest: Bool)
  case notice(String)
  case warning(String)
  case finished(RunSummary)
}

/// Facts that stand when training begins.
package struct RunDescription: Codable, Sendable {
  /// One row for each rank.
  package struct Place: Codable, Sendable {
    package var rank: Int
    package var host: String
    package var cores: [Int]
    package var lanes: Int
    /// Whether each lane stays on a core of its own.
    package var pinned: Bool
  }

  package var directory: String
  package var model: String
  package var parameters: Int
  package var multiplyAdds: Int
  package var classes: [String]
  package var trainingImages: Int
  package var validationImages: Int
  package var testImages: Int
  package var epochs: Int
  package var stepsPerEpoch: Int
  /// The step from which training goes on; 0 for a new run.
  package var firstStep: Int
  package var batch: Int
  package var microbatch: Int
  package var places: [Place]
  package var instructionSet: String
  package var blasKernel: String
  /// Of each rank.
  package var memory: [MemoryUse]
}

/// One optimizer step. Loss and accuracy are of this step's images, before its update.
package struct StepReport: Codable, Sendable {
  /// Both count from 0.
  package var epoch: Int
  package var step: Int
  package var stepInEpoch: Int
  package var stepsPerEpoch: Int
  package var totalSteps: Int
  package var images: Int
  package var loss: Double
  package var accuracy: Double
  package var learningRate: Double
  /// Since the start or resumption of the run, evaluation not counted.
  package var imagesPerSecond: Double
}

/// One epoch: means over its images in training, and what the validation split says after it.
package struct EpochReport: Codable, Sendable {
  package var epoch: Int
  package var epochs: Int
  package var step: Int
  package var trainingLoss: Double
  package var trainingAccuracy: Double
  package var imagesPerSecond: Double
  package var seconds: Double
  package var learningRate: Double
  /// nil in epochs without an evaluation.
  package var validation: ClassificationReport?
  package var isBest: Bool
  /// How the time of its steps divides, on average over the ranks.
  package var division: TimeDivision
}

/// What a run ends with.
package struct RunSummary: Codable, Sendable {
  package var directory: String
  package var classes: [String]
  package var epochs: Int
  package var steps: Int
  package var seconds: Double
  package var imagesPerSecond: Double
  package var weightsHash: String
  package var bestEpoch: Int?
  /// On the test split, by the best weights; nil where there is no test split.
  package var test: ClassificationReport?
  /// Why training ended before its last epoch, if it did.
  package var endedEarly: String?
  /// Images that each rank computed in this run's training steps.
  package var imagesByRank: [Int]
}
