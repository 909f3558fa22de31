import Collectives
import Foundation
import Models
import Tensors

/// Runs the first steps of a configuration, without a run directory, for what they compute.
package enum Verification {
  /// Takes at most `steps` steps and hashes what each makes. Where `floats` names a directory, rank 0 writes the
  /// numbers themselves there, a file for each step. Collective; the hashes are the same on all ranks.
  package static func run(
    config: String?, overrides: [String], steps: Int, mode: ReductionMode, floats: String?,
    communicator: Communicator
  ) throws -> StepHashes {
    let options = TrainOptions(
      config: config, overrides: overrides, directory: nil, resume: false, isKept: false)
    let job = try TrainingJob.prepare(options, communicator: communicator, mode: mode)
    let schedule = Schedule(
      job.config.schedule, learningRate: job.config.scaledLearningRate,
      stepsPerEpoch: job.order.stepsPerEpoch,
      epochs: job.config.training.epochs)
    let feed = StepFeed(job, firstStep: 0)
    defer { feed.stop() }
    var record = StepHashes(job)
    for number in 0..<min(steps, schedule.totalSteps) {
      _ = try job.stages.enter(epoch: number / job.order.stepsPerEpoch)
      let (batch, images) = try communicator.together { try feed.next() }
      _ = try job.step.run(batch, learningRate: schedule.learningRate(at: number))
      try job.step.settle()
      feed.recycle(images)
      let gradients = FloatBuffer(count: job.step.values.count)
      try gather(job.step.reducer, into: gradients)
      let arrays = arrays(of: job, gradients: gradients)
      record.add(arrays.map { ContentHash(UnsafeRawBufferPointer($0.floats)) })
      try communicator.together {
        guard let floats, communicator.rank == 0 else { return }
        try write(arrays, to: path(ofStep: number, in: floats))
      }
    }
    return record
  }

  /// The sums of all ranks' pieces. Collective.
  private static func gather(_ reducer: GradientReducer, into gradients: FloatBuffer) throws {
    for piece in reducer.pieces where !piece.isEmpty {
      (gradients.pointer + piece.lowerBound).update(
        from: reducer.sums + piece.lowerBound, count: piece.count)
    }
    try reducer.gather(gradients)
  }

  struct Array {
    let quantity: StepHashes.Quantity
    let name: String
    let floats: UnsafeBufferPointer<Float>
  }

  /// What a step makes, in the order in which it makes it: forward, backward, update. Frozen layers make nothing.
  static func arrays(of job: TrainingJob, gradients: FloatBuffer) -> [Array] {
    let (layout, values) = (job.network.layout, job.step.values)
    let constant = Set(layout.constants.map(\.name))
    func array(_ quantity: StepHashes.Quantity, _ entry: FlatLayout.Entry, _ buffer: FloatBuffer) -> Array {
      let isMade = quantity != .gradients || !constant.contains(entry.name)
      let floats = UnsafeBufferPointer(
        start: buffer.pointer + (isMade ? entry.offset : 0), count: isMade ? entry.range.count : 0)
      return Array(quantity: quantity, name: entry.name, floats: floats)
    }
    let parameters = layout.entries.filter { !$0.role.isStatistic }
    return layout.entries.filter(\.role.isStatistic).map { array(.statistics, $0, values) }
      + parameters.reversed().map { array(.gradients, $0, gradients) }
      + parameters.map { array(.weights, $0, values) }
      + (job.step.update.averages.map { averages in layout.entries.map { array(.averages, $0, averages) } }
        ?? [])
  }

  package static func path(ofStep step: Int, in directory: String) -> String {
    "\(directory)/step-\(step).safetensors"
  }

  private static func write(_ arrays: [Array], to path: String) throws {
    var writer = Safetensors.Writer()
    for array in arrays where !array.floats.isEmpty {
      writer.add(
        "\(array.quantity.rawValue).\(array.name)",
        Tensor(shape: [array.floats.count], values: Swift.Array(array.floats)))
    }
    try DurableFile.write(writer.encoded(), to: path, waitingForDisk: false)
  }

  /// How far the arrays of a quantity are apart in a step, by max |a − b| / max |a| of each array: the median
  /// array, and the worst. A gradient that is zero in theory (a bias before batch norm) is noise, so it is far apart.
  package struct RelativeError: Codable, Equatable, Sendable {
    package let step: Int
    package let quantity: StepHashes.Quantity
    package let median: Double
    package let largest: Double
    /// The one with the largest.
    package let array: String
  }

  /// Compares the numbers that two runs wrote, step by step.
  package static func errors(of other: String, against reference: String, steps: Int) throws
    -> [RelativeError]
  {
    try (0..<steps).flatMap { step in
      let files = try [reference, other].map { try Safetensors.Reader(path: path(ofStep: step, in: $0)) }
      return try StepHashes.Quantity.allCases.compactMap { quantity -> RelativeError? in
        let prefix = quantity.rawValue + "."
        let errors = try files[0].entries.filter { $0.name.hasPrefix(prefix) }.map { entry in
          let (a, b) = (try files[0].tensor(entry.name).values, try files[1].tensor(entry.name).values)
          let largest = a.reduce(Float(0)) { max($0, abs($1)) }
          let difference = zip(a, b).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
          return (
            array: String(entry.name.dropFirst(prefix.count)),
            error: difference == 0 ? 0 : Double(difference) / Double(largest)
          )
        }.sorted { $0.error < $1.error }
        guard let worst = errors.last else { return nil }
        return RelativeError(
          step: step, quantity: quantity, median: errors[errors.count / 2].error, largest: worst.error,
          array: worst.array)
      }
    }
  }
}
