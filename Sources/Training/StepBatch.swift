/// What one optimizer step works on: this rank's microbatches, and what is known of the whole step.
package struct StepBatch: Sendable {
  package var epoch: Int
  /// Optimizer steps before this one, from the beginning of the run.
  package var step: Int
  /// Microbatches and images of all ranks.
  package var microbatches: Int
  package var images: Int
  /// Σ of the labels' weights over all images of the step.
  package var denominator: Float
  /// What sums over the step's images are divided by.
  var totals: StepTotals { StepTotals(denominator: denominator, images: images) }

  /// This rank's own, in order.
  package var local: [LoadedMicrobatch]

  package init(
    epoch: Int, step: Int, microbatches: Int, images: Int, denominator: Float, local: [LoadedMicrobatch]
  ) {
    self.epoch = epoch
    self.step = step
    self.microbatches = microbatches
    self.images = images
    self.denominator = denominator
    self.local = local
  }
}

/// What the loss of a step is divided by, known to every lane before.
struct StepTotals {
  /// Σ of the labels' weights.
  let denominator: Float
  let images: Int
}

/// Over the images of a step, before its update.
package struct StepResult: Sendable {
  package var meanLoss: Double
  package var correct: Int
}

/// The loss of a step was not a finite number.
package struct NotFiniteError: Error, CustomStringConvertible {
  /// Counted from 0, as the learning rate's schedule counts.
  package let step: Int
  /// nil where every microbatch has a finite loss, but their sum has not.
  package let microbatch: Int?
  package let layer: String?

  package var description: String {
    let whose = microbatch.map { "the loss of microbatch \($0)" } ?? "the loss"
    let place = layer.map { "; the first layer whose output is not finite is \($0)" } ?? ""
    return "step \(step): \(whose) is not a finite number\(place)"
  }
}
