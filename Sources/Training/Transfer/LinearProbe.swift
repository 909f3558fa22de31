import CellData
import Collectives
import Foundation
import Layers
import Models
import Tensors

/// Trains the head of a network on what its frozen trunk gives for the images, computed once: a linear probe
/// (Alain & Bengio, arXiv:1610.01644). The head's steps are those of any training, so their bits are the same on any
/// number of ranks and lanes. Images are not augmented.
package final class LinearProbe {
  private let job: TrainingJob
  private let sinks: [any RunSink]
  private let head: Network
  private let features: TrunkFeatures
  private let featureSeconds: Double
  private let step: TrainingStep
  private let inference: Inference
  private let labels: [Int32]

  /// The configuration of a probe: that of a run whose trunk stays as it is.
  package static let overrides = [
    "transfer.freeze=all_but_head", "transfer.unfreeze=[]", "distillation.teacher=",
  ]

  /// Computes the features, or reads them where an earlier probe has left them. Collective.
  ///
  /// - Parameters:
  ///   - job: of a network that is frozen but for its head.
  ///   - known: what the trunk gives for every image of the data, a row each, where that was computed elsewhere.
  package init(_ job: TrainingJob, sinks: [any RunSink], features known: FloatBuffer? = nil) throws {
    guard let (trunk, head) = job.network.head else {
      throw RunError(
        "\(job.config.modelName) has no layers before its head, so there are no features to probe")
    }
    (self.job, self.sinks, self.head) = (job, sinks, head)
    try job.communicator.together { try job.directory?.save(job.config) }
    let start = monotonicSeconds()
    if let known {
      features = TrunkFeatures(rows: known, width: job.network.nodes[trunk].shape.count)
    } else {
      features = try TrunkFeatures(job, trunk: trunk) { done, all in
        for sink in sinks { sink.receive(.evaluating(split: "features", done: done, of: all)) }
      }
    }
    featureSeconds = monotonicSeconds() - start
    var settings = job.settings
    // What stands in memory for seconds only is not watched.
    settings.checks = ChecksConfig(memory: false, recomputeEvery: 0)
    step = try TrainingStep(
      head, initial: job.step.values.relaid(from: job.network.layout, to: head.layout), settings: settings,
      communicator: job.communicator, team: job.place.team)
    inference = Inference(
      head, values: step.evaluated, images: job.config.training.microbatch, team: job.place.team,
      kernels: job.place.kernels)
    labels = job.data.dataset.samples.map { Int32($0.label) }
  }

  /// Trains the head and leaves a run that `evaluate` and `predict` take, with the best head on the validation
  /// split. Collective.
  package func run() throws -> RunSummary {
    let config = job.config
    for notice in job.notices { tell(.notice(notice)) }
    for warning in job.transferWarnings { tell(.warning(warning)) }
    let megabytes = Double(features.rows.count * MemoryLayout<Float>.stride) / 1e6
    tell(
      .notice(
        "\(features.width) features of \(labels.count) images "
          + (features.cached.map { "from \($0)" }
            ?? "computed in \((featureSeconds * 10).rounded() / 10) s, \(Int(megabytes.rounded(.up))) MB in the cache")
      ))
    let schedule = Schedule(
      config.schedule, learningRate: config.scaledLearningRate, stepsPerEpoch: job.order.stepsPerEpoch,
      epochs: config.training.epochs)
    var (times, plateau) = (RunTimes(step.timeline), PlateauState())
    var (best, bestHead) = (BestSoFar(), try headValues())
    var epoch = 0
    let validation = job.data.dataset.indices(of: .val)
    while epoch < config.training.epochs, !best.stops(config.earlyStopping) {
      let sums = try train(epoch, schedule, plateau, &times)
      let isLast = epoch + 1 == config.training.epochs
      var report: ClassificationReport?
      if validation.isEmpty {
        if isLast { bestHead = try headValues() }
      } else if isLast || (epoch + 1) % config.training.evaluateEvery == 0 {
        let found = try evaluate(validation)
        let value = found.value(of: config.checkpoint.bestMetric)
        let done = (epoch + 1) * job.order.stepsPerEpoch
        best = best.after(
          value, metric: config.checkpoint.bestMetric, epoch: epoch, step: done,
          minimumDelta: config.earlyStopping.minimumDelta)
        plateau = plateau.after(
          value, metric: config.checkpoint.bestMetric, config: config.schedule.plateau)
        if best.step == done { bestHead = try headValues() }
        report = found
      }
      try announce(epoch, sums, report, isBest: best.epoch == epoch, schedule, plateau, &times)
      epoch += 1
    }
    return try finish(epochs: epoch, best: best, head: bestHead, times)
  }

  /// Σ loss · images, right answers, images.
  private typealias Sums = (loss: Double, correct: Int, images: Int)

  private func train(
    _ epoch: Int, _ schedule: Schedule, _ plateau: PlateauState, _ times: inout RunTimes
  ) throws -> Sums {
    let seed = UInt64(job.config.seed)
    let training = job.data.dataset.indices(of: .train)
    let samples = job.order.shuffled(seed: seed, epoch: epoch).map { training[$0] }
    var sums: Sums = (0, 0, 0)
    for inEpoch in 0..<job.order.stepsPerEpoch {
      let start = monotonicSeconds()
      let number = epoch * job.order.stepsPerEpoch + inEpoch
      let microbatches = job.order.microbatches(ofStep: inEpoch)
      let local = step.run(ofStepWith: microbatches.count).map { index -> LoadedMicrobatch in
        let positions = microbatches[index]
        return features.microbatch(
          samples[positions], labels: samples[positions].map { labels[$0] }, area: head.input.area,
          place: BatchPlace(seed: seed, epoch: epoch, firstPosition: positions.lowerBound))
      }
      let positions = job.order.positions(ofStep: inEpoch)
      let batch = StepBatch(
        epoch: epoch, step: number, microbatches: microbatches.count, images: positions.count,
        denominator: job.loss.function.denominator(of: samples[positions].map { labels[$0] }), local: local)
      let result = try step.run(
        batch, learningRate: schedule.learningRate(at: number, plateau: plateau))
      times.add(batch, seconds: monotonicSeconds() - start)
      sums.loss += result.meanLoss * Double(batch.images)
      sums.correct += result.correct
      sums.images += batch.images
    }
    return sums
  }

  /// Every rank evaluates all: the head is small.
  private func evaluate(_ samples: [Int]) throws -> ClassificationReport {
    try step.settle()
    inference.prepare()
    let batches = EpochOrder.microbatches(of: 0..<samples.count, size: job.config.training.microbatch).map {
      positions in
      features.microbatch(
        samples[positions], labels: samples[positions].map { labels[$0] }, area: head.input.area,
        place: BatchPlace(seed: 0, epoch: 0, firstPosition: positions.lowerBound))
    }
    return try ClassificationReport(
      probabilities: inference.probabilities(of: batches).flatMap(\.values),
      labels: samples.map { Int(labels[$0]) }, classes: job.data.dataset.classes)
  }

  private func headValues() throws -> FloatBuffer {
    try step.settle()
    return FloatBuffer(Array(step.evaluated.values.prefix(head.layout.extent)))
  }

  private func announce(
    _ epoch: Int, _ sums: Sums, _ validation: ClassificationReport?, isBest: Bool, _ schedule: Schedule,
    _ plateau: PlateauState, _ times: inout RunTimes
  ) throws {
    let division = try times.divideEpoch(job.communicator).0
    let steps = (epoch + 1) * job.order.stepsPerEpoch
    tell(
      .epoch(
        EpochReport(
          epoch: epoch, epochs: job.config.training.epochs, step: steps,
          trainingLoss: sums.loss / Double(sums.images),
          trainingAccuracy: Double(sums.correct) / Double(sums.images),
          imagesPerSecond: Double(times.epochImages) / times.epochSeconds, seconds: times.epochSeconds,
          learningRate: schedule.learningRate(at: steps - 1, plateau: plateau), validation: validation,
          isBest: isBest, division: division)))
    times.beginEpoch()
  }

  /// The whole network with the best head, as the checkpoint of a run.
  private func finish(
    epochs: Int, best: BestSoFar, head values: FloatBuffer, _ times: RunTimes
  ) throws -> RunSummary {
    try step.replaceEvaluated(with: values)
    let layout = job.network.layout
    let whole = FloatBuffer(Array(job.step.values.values.prefix(layout.extent)))
    let arrays = Dictionary(uniqueKeysWithValues: layout.entries.map { ($0.name, $0) })
    for entry in head.layout.entries {
      arrays[entry.name]?.fill(whole.pointer, with: entry.array(in: values.pointer))
    }
    try job.step.replaceValues(with: whole)
    try job.step.replaceEvaluated(with: whole)
    let checkpoints = RunCheckpoints(job)
    var state = try checkpoints.initialState()
    (state.epoch, state.step, state.best) = (epochs, epochs * job.order.stepsPerEpoch, best)
    if let path = try checkpoints.save(state, isBest: true) {
      tell(.checkpoint(path: path, step: state.step, isBest: true))
    }
    let test = job.data.dataset.indices(of: .test)
    let summary = RunSummary(
      directory: job.directory?.path ?? "", classes: job.data.dataset.classes, epochs: epochs,
      steps: state.step, seconds: times.seconds,
      imagesPerSecond: times.seconds > 0 ? Double(times.images) / times.seconds : 0,
      weightsHash: "\(WeightsHash.of(job.step.evaluated.pointer, layout: layout))", bestEpoch: best.epoch,
      test: test.isEmpty ? nil : try evaluate(test), endedEarly: nil,
      imagesByRank: try job.communicator.exchange(times.ownImages))
    tell(.finished(summary))
    return summary
  }

  private func tell(_ event: RunEvent) {
    for sink in sinks { sink.receive(event) }
  }
}
