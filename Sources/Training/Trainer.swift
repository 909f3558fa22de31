import CellData
import Collectives
import Foundation
import Layers
import Tensors

/// How a training run ended.
package enum TrainingOutcome: Sendable {
  case finished(RunSummary)
  /// A signal asked it to stop; a checkpoint of that step is written.
  case stopped(signal: Int32, step: Int)
}

/// The training loop of a run.
package final class Trainer {
  private let job: TrainingJob
  private let schedule: Schedule
  private let checkpoints: RunCheckpoints
  private let sinks: [any RunSink]
  private var progress: CheckpointState
  private var times: RunTimes

  package init(_ job: TrainingJob, sinks: [any RunSink]) throws {
    self.job = job
    self.sinks = sinks
    schedule = Schedule(
      job.config.schedule, learningRate: job.config.scaledLearningRate,
      stepsPerEpoch: job.order.stepsPerEpoch,
      epochs: job.config.training.epochs)
    checkpoints = RunCheckpoints(job)
    progress = try checkpoints.initialState()
    times = RunTimes(job.step.timeline)
  }

  /// Trains to the last epoch, or until early stopping or a signal ends it. Collective.
  package func run(resume: Bool) throws -> TrainingOutcome {
    if resume { try resumeFromCheckpoint() }
    // Only now: what can't be trained must not take the place of the configuration of a run.
    try job.communicator.together { try job.directory?.save(job.config) }
    try announce()
    let feed = StepFeed(job, firstStep: progress.step)
    defer { feed.stop() }
    job.place.pinning.bind(job.place.team)
    defer { job.place.pinning.release() }
    while true {
      if progress.stepInEpoch == 0, !isOver { try unfreeze() }
      let start = monotonicSeconds()
      let loaded = isOver ? nil : Result { try next(feed) }
      if let signal = try agree(on: loaded) { return try stop(for: signal) }
      guard let (batch, images) = try loaded?.get() else { break }
      try takeStep(batch, since: start)
      feed.recycle(images)
      if progress.stepInEpoch == job.order.stepsPerEpoch { try finishEpoch() }
      if isDue(job.config.checkpoint.everySteps, progress.step) { try save(isBest: false) }
    }
    let summary = try finish()
    try writeTrace()
    return .finished(summary)
  }

  /// The next step's images, unless something has changed in this rank's memory.
  private func next(_ feed: StepFeed) throws -> (StepBatch, StepImages) {
    try job.step.throwFault()
    timeline.rank.step = progress.step
    return try timeline.rank.measure(.wait) { try feed.next() }
  }

  /// Trains what the epoch that begins is to train.
  private func unfreeze() throws {
    guard try job.stages.enter(epoch: progress.epoch) else { return }
    tell(.notice("after \(progress.epoch) epochs: \(job.trainedText)"))
  }

  private var isOver: Bool {
    progress.step == schedule.totalSteps || progress.best.stops(job.config.earlyStopping)
  }

  /// The signal that reached any rank, on every rank. Where a rank has no images for the step, all throw why.
  private func agree(on loaded: Result<(StepBatch, StepImages), any Error>?) throws -> Int32? {
    var failed = false
    if case .failure = loaded { failed = true }
    let word = try job.communicator.maximum(failed ? .max : Int(StopSignals.requested ?? 0))
    if word == .max { _ = try job.communicator.together { try loaded?.get() } }
    return word == 0 ? nil : Int32(word)
  }

  private func takeStep(_ batch: StepBatch, since start: Double) throws {
    let learningRate = schedule.learningRate(at: progress.step, plateau: progress.plateau)
    let result = try job.step.run(batch, learningRate: learningRate)
    times.add(batch, seconds: monotonicSeconds() - start)
    progress.epochImages += batch.images
    progress.epochLossSum += result.meanLoss * Double(batch.images)
    progress.epochCorrect += result.correct
    tell(
      .step(
        StepReport(
          epoch: progress.epoch, step: progress.step, stepInEpoch: progress.stepInEpoch,
          stepsPerEpoch: job.order.stepsPerEpoch, totalSteps: schedule.totalSteps, images: batch.images,
          loss: result.meanLoss, accuracy: Double(result.correct) / Double(batch.images),
          learningRate: learningRate,
          imagesPerSecond: Double(times.images) / times.seconds)))
    progress.step += 1
    progress.stepInEpoch += 1
  }

  private func finishEpoch() throws {
    let config = job.config
    let epoch = progress.epoch
    let isLast = epoch + 1 == config.training.epochs
    let validation = job.data.dataset.indices(of: .val)
    let (division, straggler) = try times.divideEpoch(job.communicator)
    if let straggler {
      tell(.warning(straggler.text(host: job.place.placement.rows[straggler.rank].host)))
    }
    var report: ClassificationReport?
    var isBest = false
    if !validation.isEmpty && (isLast || isDue(config.training.evaluateEvery, epoch + 1)) {
      let evaluated = try evaluate(validation, named: "val")
      let value = evaluated.value(of: config.checkpoint.bestMetric)
      progress.best = progress.best.after(
        value, metric: config.checkpoint.bestMetric, epoch: epoch, step: progress.step,
        minimumDelta: config.earlyStopping.minimumDelta)
      progress.plateau = progress.plateau.after(
        value, metric: config.checkpoint.bestMetric, config: config.schedule.plateau)
      isBest = progress.best.step == progress.step
      report = evaluated
    }
    tell(
      .epoch(
        EpochReport(
          epoch: epoch, epochs: config.training.epochs, step: progress.step,
          trainingLoss: progress.epochLossSum / Double(progress.epochImages),
          trainingAccuracy: Double(progress.epochCorrect) / Double(progress.epochImages),
          imagesPerSecond: Double(times.epochImages) / times.epochSeconds, seconds: times.epochSeconds,
          learningRate: schedule.learningRate(at: progress.step - 1, plateau: progress.plateau),
          validation: report,
          isBest: isBest, division: division)))
    progress.epoch += 1
    progress.stepInEpoch = 0
    (progress.epochImages, progress.epochLossSum, progress.epochCorrect) = (0, 0, 0)
    times.beginEpoch()
    let ends = isLast || progress.best.stops(config.earlyStopping)
    if isBest || ends || isDue(config.checkpoint.everyEpochs, epoch + 1) { try save(isBest: isBest) }
  }

  /// The last checkpoint is written by `finishEpoch`; what remains is the test by the best weights.
  private func finish() throws -> RunSummary {
    let test = job.data.dataset.indices(of: .test)
    try job.step.settle()
    let hash = WeightsHash.of(job.step.evaluated.pointer, layout: job.network.layout)
    var report: ClassificationReport?
    if !test.isEmpty {
      try checkpoints.loadBest()
      report = try evaluate(test, named: "test")
    }
    let summary = RunSummary(
      directory: job.directory?.path ?? "", classes: job.data.dataset.classes, epochs: progress.epoch,
      steps: progress.step, seconds: times.seconds,
      imagesPerSecond: times.seconds > 0 ? Double(times.images) / times.seconds : 0,
      weightsHash: "\(hash)",
      bestEpoch: progress.best.epoch, test: report,
      endedEarly: progress.step < schedule.totalSteps
        ? "no better \(job.config.checkpoint.bestMetric.rawValue) in \(progress.best.evaluationsSinceBest) evaluations"
        : nil,
      imagesByRank: try job.communicator.exchange(times.ownImages))
    tell(.finished(summary))
    return summary
  }

  private func evaluate(_ samples: [Int], named split: String) throws -> ClassificationReport {
    try job.step.settle()
    return try timeline.rank.measure(.evaluation) {
      try job.evaluator.report(on: samples, of: job.data.dataset) { done, all in
        tell(.evaluating(split: split, done: done, of: all))
      }
    }
  }

  private func stop(for signal: Int32) throws -> TrainingOutcome {
    try save(isBest: false)
    try writeTrace()
    tell(.notice("stopped by signal \(signal) after step \(progress.step); continue with --resume"))
    return .stopped(signal: signal, step: progress.step)
  }

  private func save(isBest: Bool) throws {
    if let path = try timeline.rank.measure(.checkpoint, { try checkpoints.save(progress, isBest: isBest) }) {
      tell(.checkpoint(path: path, step: progress.step, isBest: isBest))
    }
  }

  private func resumeFromCheckpoint() throws {
    let (state, notices) = try checkpoints.loadNewest()
    for notice in notices { tell(.warning(notice)) }
    if let state { progress = state }
  }

  private func writeTrace() throws {
    guard let trace = job.trace else { return }
    try trace.write(timeline, host: job.place.placement.own.host)
    tell(.notice("trace of all ranks in \(trace.path)"))
  }

  private var timeline: Timeline { job.step.timeline }

  private func isDue(_ interval: Int, _ count: Int) -> Bool { interval > 0 && count % interval == 0 }

  private func tell(_ event: RunEvent) {
    for sink in sinks { sink.receive(event) }
  }
}

extension Trainer {
  /// Tells the sinks what is about to be trained, on what and where, and what is odd about it.
  private func announce() throws {
    let memory = try job.communicator.exchange(job.step.memory)
    let (config, data) = (job.config, job.data)
    let counts = Split.allCases.map { data.dataset.indices(of: $0).count }
    tell(
      .started(
        RunDescription(
          directory: job.directory?.path ?? "", model: config.modelName,
          parameters: job.network.layout.parameterCount,
          multiplyAdds: job.network.multiplyAdds, classes: data.dataset.classes, trainingImages: counts[0],
          validationImages: counts[1], testImages: counts[2], epochs: config.training.epochs,
          stepsPerEpoch: job.order.stepsPerEpoch, firstStep: progress.step, batch: config.training.batch,
          microbatch: config.training.microbatch,
          places: job.place.placement.rows.map {
            RunDescription.Place(
              rank: $0.rank, host: $0.host, cores: $0.cores, lanes: $0.lanes, pinned: $0.pinned)
          },
          instructionSet: job.place.binding.entries[1].value, blasKernel: GEMM.kernelName, memory: memory)))
    for line in job.step.exchangeNotices { tell(.notice(line)) }
    for warning in job.place.placement.warnings + idleWarnings + precisionWarnings + job.transferWarnings
      + job.warnings
    {
      tell(.warning(warning))
    }
    for notice in job.notices + transferNotices + dataNotices + rateNotices { tell(.notice(notice)) }
    for bad in data.leftOut { tell(.warning("left out \(bad.error)")) }
  }

  private var idleWarnings: [String] {
    let microbatches = job.order.microbatches(ofStep: 0).count
    let lanes = job.place.placement.lanes.reduce(0, +)
    guard microbatches < lanes else { return [] }
    let advice =
      WorkDivision.microbatchThatWouldUseAll(lanes: lanes, batch: job.order.batch)
      .map { "training.microbatch: \($0) would use all" } ?? "the batch is too small to use all"
    return [
      "\(lanes - microbatches) of \(lanes) lanes idle: a step has \(microbatches) microbatches; \(advice)"
    ]
  }

  /// What emulated bf16 costs, where a CPU must.
  private var precisionWarnings: [String] {
    let precision = job.config.engine.precision
    guard precision != .fp32, !(Precision.isNative && job.place.kernels == .avx512) else { return [] }
    return [
      "engine.precision is \(precision.rawValue), but \(job.place.kernels.rawValue) on this CPU has no instruction for "
        + "bf16 (AVX-512 BF16): products are emulated with the same bits, and a step takes 1.2 to 3 times as long as in "
        + "fp32"
    ]
  }

  private var transferNotices: [String] { job.network.frozen.isEmpty ? [] : [job.trainedText] }

  private var rateNotices: [String] {
    let config = job.config
    guard config.schedule.scaling != .none else { return [] }
    return [
      "learning rate \(config.optimizer.learningRate) for \(config.schedule.referenceBatch) images becomes "
        + "\(config.scaledLearningRate) for \(config.training.batch)"
    ]
  }

  private var dataNotices: [String] {
    guard let check = job.data.check else { return [] }
    var notices: [String] = []
    if check.checked > 0 {
      notices.append(
        "\(check.checked) files checked\(job.data.checkWasCached ? " by an earlier run; none has changed since" : "")"
      )
    }
    if check.conversions.greyToRGB > 0 {
      notices.append("\(check.conversions.greyToRGB) grey images replicated to RGB")
    }
    if check.conversions.alphaDropped > 0 {
      notices.append("\(check.conversions.alphaDropped) images lose their alpha channel")
    }
    if check.multiPage > 0 {
      notices.append("\(check.multiPage) files have several pages; only the first is used")
    }
    if job.data.dataset.ignoredFiles > 0 {
      notices.append("\(job.data.dataset.ignoredFiles) other files in the class folders ignored")
    }
    return notices
  }
}
