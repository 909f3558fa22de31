/// What `bench step --json` prints: one measurement of optimizer steps.
package struct StepRecord: Codable, Sendable, Equatable {
  package var model: String
  package var size: Int
  package var channels: Int
  package var classes: Int
  package var batch: Int
  package var microbatch: Int
  package var ranks: Int
  package var lanes: Int
  package var isa: String
  package var convolution: String
  package var precision: String
  package var blas: String
  package var steps: Int
  /// Of the median step.
  package var stepSeconds: Double
  package var imagesPerSecond: Double
  /// Of all steps together.
  package var meanImagesPerSecond: Double
  package var allStepSeconds: [Double]
  package var cost: StepCost

  enum CodingKeys: String, CodingKey {
    case model, size, channels, classes, batch, microbatch, ranks, lanes, isa, convolution, precision, blas,
      steps
    case stepSeconds = "step_seconds"
    case imagesPerSecond = "images_per_second"
    case meanImagesPerSecond = "mean_images_per_second"
    case allStepSeconds = "all_step_seconds"
    case cost
  }

  package init(
    model: String, size: Int, channels: Int, classes: Int, batch: Int, microbatch: Int, ranks: Int,
    lanes: Int, isa: String, convolution: String, precision: String, blas: String, steps: Int,
    stepSeconds: Double, imagesPerSecond: Double, meanImagesPerSecond: Double, allStepSeconds: [Double],
    cost: StepCost
  ) {
    (self.model, self.size, self.channels, self.classes) = (model, size, channels, classes)
    (self.batch, self.microbatch, self.ranks, self.lanes) = (batch, microbatch, ranks, lanes)
    (self.isa, self.convolution, self.precision, self.blas) = (isa, convolution, precision, blas)
    (self.steps, self.stepSeconds, self.imagesPerSecond) = (steps, stepSeconds, imagesPerSecond)
    self.meanImagesPerSecond = meanImagesPerSecond
    self.allStepSeconds = allStepSeconds
    self.cost = cost
  }
}

/// What steps spend their time on, and what travels in one.
package struct StepCost: Codable, Sendable, Equatable {
  /// Shares of the steps' time, on average over the ranks.
  package var division: TimeDivision
  package var nodes: Int
  /// Groups of ranks that share memory; messages travel between them.
  package var groups: Int
  /// Of the flat gradient, statistics and metrics included.
  package var gradientBytes: Int
  /// By a rank in a step, on average.
  package var bytesSent: Int

  enum CodingKeys: String, CodingKey {
    case division, nodes, groups
    case gradientBytes = "gradient_bytes"
    case bytesSent = "bytes_sent"
  }

  package init(division: TimeDivision, nodes: Int, groups: Int, gradientBytes: Int, bytesSent: Int) {
    (self.division, self.nodes, self.groups) = (division, nodes, groups)
    (self.gradientBytes, self.bytesSent) = (gradientBytes, bytesSent)
  }
}
