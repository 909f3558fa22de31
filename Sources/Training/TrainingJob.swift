import CellData
import Collectives
import Foundation
import Layers
import Models
import Tensors

/// What a user asks of `train`.
package struct TrainOptions: Sendable {
  package var config: String?
  /// `key=value`, laid over the file.
  package var overrides: [String]
  package var directory: String?
  package var resume: Bool
  /// The file for a trace of all ranks' phases; nil where none is wanted.
  package var trace: String?
  /// Whether the run has a directory to keep anything in.
  package var isKept: Bool

  package init(
    config: String?, overrides: [String], directory: String?, resume: Bool, trace: String? = nil,
    isKept: Bool = true
  ) {
    self.config = config
    self.overrides = overrides
    self.directory = directory
    self.resume = resume
    self.trace = trace
    self.isKept = isKept
  }
}

/// Everything that stands before the first step of a training run, on every rank.
package struct TrainingJob {
  package let communicator: Communicator
  /// As given, and what the data added to it.
  package let config: RunConfig
  package let place: Workplace
  package let data: RunData
  package let order: EpochOrder
  package let loss: LossSettings
  /// Of its steps.
  let settings: TrainingStep.Settings
  /// What changes when layers are unfrozen.
  let stages: TrainingStages
  /// On rank 0 only.
  package let directory: RunDirectory?
  /// Where a trace is wanted.
  let trace: TraceFile?
  /// What was decided on the way.
  let notices: [String]
  /// What may not be meant.
  let warnings: [String]

  package var network: Network { stages.current.network }
  package var step: TrainingStep { stages.current.step }
  package var evaluator: Evaluator { stages.current.evaluator }

  /// Rank 0 reads configuration and data index and hands them out; all ranks agree on their binding,
  /// check the files and build the network. Collective. Throws on the rank that sees what is wrong.
  package static func prepare(
    _ options: TrainOptions, communicator: Communicator, mode: ReductionMode = .tree
  ) throws -> TrainingJob {
    try StartAgreement.require(options, communicator: communicator)
    let (asked, directory) = try open(options, communicator: communicator)
    let teaching = try TeachingRun(asked.distillation, communicator: communicator)
    let given = try communicator.together { try teaching?.completing(asked) ?? asked }
    let place = try Workplace(given, communicator: communicator)
    let data = try RunData(given, communicator: communicator, threads: place.loaders)
    let (config, notice) = try data.completing(given)
      .choosingAlgorithms(classes: data.dataset.classes.count, kernels: place.kernels, communicator)

    let (order, whole, loss, initial) = try communicator.together { try model(config, data: data.dataset) }
    let teacher = try communicator.together {
      try teaching?.teacher(for: data.dataset, kernels: place.kernels)
    }
    let (freezing, rules) = try communicator.together {
      let freezing = try FreezingPlan(config.transfer, network: whole)
      return (
        freezing,
        try ParameterRules(
          config.optimizer, freezing: freezing, network: whole, stepsPerEpoch: order.stepsPerEpoch)
      )
    }
    var notices = initial.notices
    if let notice { notices.insert(notice, at: 0) }
    if let teaching { notices.append(teaching.notice) }
    try StartAgreement.require(config, data: data, layout: whole.layout, communicator: communicator)
    let trace = try options.trace.map { try TraceFile($0, communicator: communicator) }
    var settings = TrainingStep.Settings(
      layout: JobLayout(place.placement, communicator: communicator),
      microbatchCounts: order.microbatchCounts, microbatch: min(config.training.microbatch, order.batch),
      wave: config.training.wave, loss: loss.function, optimizer: config.optimizer,
      averageDecay: config.ema.decay, reduce: config.reduce, seed: UInt64(config.seed),
      kernels: place.kernels)
    settings.checks = config.checks
    settings.checkpointing = config.training.activationCheckpointing
    settings.rules = rules
    settings.teacher = teacher
    if trace != nil { settings.traceCapacity = Timeline.traceCapacity }
    let stepSettings = settings
    let stages = try TrainingStages(
      whole, plan: freezing, batchNorm: config.transfer.batchNorm, initial: initial.values,
      communicator: communicator
    ) { network, initial, timeline in
      try network.checkMicrobatches(of: order)
      let step = try TrainingStep(
        network, initial: initial, settings: stepSettings, communicator: communicator, team: place.team,
        mode: mode, timeline: timeline)
      let evaluator = Evaluator(
        inference: Inference(
          network, values: step.evaluated, prepared: step.evaluated === step.values ? step.prepared : nil,
          images: config.training.microbatch, team: place.team, kernels: place.kernels),
        source: data.cache, pipeline: data.pipeline, communicator: communicator,
        microbatch: config.training.microbatch, lanes: place.team.count, threads: place.loaders,
        pinning: place.pinning)
      return TrainingStages.Stage(network: network, step: step, evaluator: evaluator)
    }
    return TrainingJob(
      communicator: communicator, config: config, place: place, data: data, order: order, loss: loss,
      settings: settings, stages: stages, directory: directory, trace: trace, notices: notices,
      warnings: teaching?.warnings(data.dataset) ?? [])
  }

  /// What follows from configuration and data index alone.
  private static func model(
    _ config: RunConfig, data: Dataset
  ) throws -> (EpochOrder, Network, LossSettings, initial: (values: FloatBuffer, notices: [String])) {
    let training = data.indices(of: .train)
    guard !training.isEmpty else { throw RunError("\(config.data.path): no image to train on") }
    let order = EpochOrder(
      count: training.count, batch: config.training.batch, microbatch: config.training.microbatch,
      dropLast: config.training.dropLast)
    let network = try config.network(classes: data.classes.count)
    let loss = try LossSettings(
      config.loss, labels: training.map { data.samples[$0].label }, classes: data.classes.count)
    return (order, network, loss, try network.startingValues(config, classes: data.classes))
  }

  /// The configuration on every rank, and the run directory, opened and locked by rank 0.
  private static func open(_ options: TrainOptions, communicator: Communicator) throws -> (
    RunConfig, RunDirectory?
  ) {
    var directory: RunDirectory?
    let text = try communicator.fromCoordinator {
      var file = options.config
      if options.resume {
        guard let run = options.directory else {
          throw RunError("--resume expects --out RUN, the run to continue")
        }
        directory = try RunDirectory(run, .resume)
        file = RunDirectory.configPath(of: run)
      }
      var config = try ConfigLoader.load(file: file, overrides: options.overrides).config
      config.makePathsAbsolute()
      if directory == nil, options.isKept {
        directory =
          try options.directory.map { try RunDirectory($0, .new) }
          ?? RunDirectory.create(model: config.modelName)
      }
      return try config.encodedYAML()
    }
    return (try ConfigLoader.load(text: text, name: "configuration").config, directory)
  }
}

extension RunConfig {
  /// So that a saved configuration means the same files in whatever folder it is used.
  mutating func makePathsAbsolute() {
    func absolute(_ path: String) -> String {
      path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    }
    if data.path != DataConfig.synthetic { data.path = absolute(data.path) }
    if !model.weights.isEmpty { model.weights = absolute(model.weights) }
    if !distillation.teacher.isEmpty { distillation.teacher = absolute(distillation.teacher) }
  }
}
