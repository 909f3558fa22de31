import CellData
import Collectives

extension RunConfig {
  /// Refuses values that no run can have. What depends on the data, the model or the machine is
  /// refused by those who know them.
  package func validate() throws(ConfigProblem) {
    try atLeast("seed", seed, 0)
    try validateModel()
    try validateData()
    try validateTraining()
    try validateOptimizer()
    try validateTransfer()
    try validateSchedule()
    try validateReduce()
  }

  private func validateModel() throws(ConfigProblem) {
    if let dropout = model.dropout.value { try share("model.dropout", dropout) }
    if let depth = model.stochasticDepth.value { try share("model.stochastic_depth", depth) }
    let repeated = Dictionary(grouping: model.classes) { $0 }.filter { $1.count > 1 }.keys.min()
    if let repeated { throw ConfigProblem("model.classes", problem: "names \"\(repeated)\" twice") }
  }

  private func validateData() throws(ConfigProblem) {
    if data.path.isEmpty {
      throw ConfigProblem("data.path", problem: "expects a folder or \"synthetic\", got nothing")
    }
    try atLeast("data.image.size", data.image.size, 1)
    guard [1, 3].contains(data.image.channels) else {
      throw ConfigProblem(
        "data.image.channels", problem: "expects 1 (grey) or 3 (RGB), got \(data.image.channels)")
    }
    guard data.image.resize == 0 || data.image.resize >= data.image.size else {
      throw ConfigProblem(
        "data.image.resize", "data.image.size",
        problem: "expects 0 or at least data.image.size (\(data.image.size)), got \(data.image.resize)")
    }
    let shares = [("train", data.split.train), ("val", data.split.validation), ("test", data.split.test)]
    for (name, value) in shares {
      guard (0...1).contains(value) else {
        throw ConfigProblem("data.split.\(name)", problem: "expects a share in 0 … 1, got \(value)")
      }
    }
    let sum = shares.reduce(0) { $0 + $1.1 }
    guard abs(sum - 1) < 1e-6 else {
      throw ConfigProblem(
        "data.split", "data.split.train", "data.split.val", "data.split.test",
        problem: "expects shares that add up to 1, got \(sum)")
    }
    // A part of 1e-6 is what the sum above may miss.
    guard data.split.train > 1e-6 else {
      throw ConfigProblem(
        "data.split.train", problem: "expects a share above 0 to train on, got \(data.split.train)")
    }
    try validateNormalisation()
    try atLeast("data.cache_megabytes", data.cacheMegabytes, 0)
    try atLeast("data.threads", data.threads, 0)
    try validateSynthetic()
  }

  private func validateSynthetic() throws(ConfigProblem) {
    try atLeast("data.synthetic.kinds", data.synthetic.kinds, 2)
    guard data.synthetic.kinds <= CellKind.maximumCount else {
      throw ConfigProblem(
        "data.synthetic.kinds",
        problem: "expects at most \(CellKind.maximumCount), got \(data.synthetic.kinds)")
    }
    guard data.synthetic.images >= data.synthetic.kinds else {
      throw ConfigProblem(
        "data.synthetic.images", "data.synthetic.kinds",
        problem:
          "expects at least one of each of the \(data.synthetic.kinds) kinds, got \(data.synthetic.images)")
    }
    guard data.path != DataConfig.synthetic || data.image.size >= SyntheticCells.smallestSize else {
      throw ConfigProblem(
        "data.image.size", "data.path",
        problem: "expects at least \(SyntheticCells.smallestSize) for synthetic cells, got \(data.image.size)"
      )
    }
  }

  private func validateNormalisation() throws(ConfigProblem) {
    let normalisation = data.normalisation
    for (name, values) in [("mean", normalisation.mean), ("deviation", normalisation.deviation)] {
      guard values.isEmpty || values.count == data.image.channels else {
        throw ConfigProblem(
          "data.normalisation.\(name)", "data.image.channels",
          problem: "expects \(data.image.channels) numbers, one for each channel, got \(values.count)")
      }
      for value in values { try finite("data.normalisation.\(name)", value) }
    }
    guard normalisation.mean.isEmpty == normalisation.deviation.isEmpty else {
      throw ConfigProblem(
        "data.normalisation", "data.normalisation.mean", "data.normalisation.deviation",
        problem: "expects both mean and deviation, or neither")
    }
    for value in normalisation.deviation { try positive("data.normalisation.deviation", value) }
  }

  private func validateTraining() throws(ConfigProblem) {
    try atLeast("training.epochs", training.epochs, 1)
    try atLeast("training.batch", training.batch, 1)
    try atLeast("training.microbatch", training.microbatch, 1)
    guard training.microbatch <= training.batch else {
      throw ConfigProblem(
        "training.microbatch", "training.batch",
        problem: "expects at most training.batch (\(training.batch)), got \(training.microbatch)")
    }
    try atLeast("training.wave", training.wave, 0)
    let microbatches = (training.batch + training.microbatch - 1) / training.microbatch
    guard
      training.batchStatistics == .microbatch || training.wave == 0 || training.wave >= microbatches
    else {
      throw ConfigProblem(
        "training.wave", "training.batch_statistics",
        problem: "expects 0 or all \(microbatches) microbatches of a step, since "
          + "training.batch_statistics is global_batch, got \(training.wave)")
    }
    try atLeast("training.lanes", training.lanes, 0)
    guard engine.precision == .fp32 || engine.convolution == .auto else {
      throw ConfigProblem(
        "engine.convolution", "engine.precision",
        problem: "expects auto where engine.precision is \(engine.precision.rawValue), since bf16 has an "
          + "algorithm of its own, got \(engine.convolution.rawValue)")
    }
    try atLeast("training.evaluate_every", training.evaluateEvery, 1)
    try share("loss.label_smoothing", loss.labelSmoothing)
    if case .listed(let weights) = loss.classWeights {
      for weight in weights { try notNegative("loss.class_weights", weight) }
      guard weights.contains(where: { $0 > 0 }) else {
        throw ConfigProblem("loss.class_weights", problem: "expects a weight above 0, got only zeros")
      }
    }
    try positive("distillation.temperature", distillation.temperature)
    guard (0...1).contains(distillation.weight) else {
      throw ConfigProblem(
        "distillation.weight", problem: "expects a share in 0 … 1, got \(distillation.weight)")
    }
    try atLeast("checkpoint.every_epochs", checkpoint.everyEpochs, 0)
    try atLeast("checkpoint.every_steps", checkpoint.everySteps, 0)
    try atLeast("checkpoint.keep", checkpoint.keep, 1)
    try atLeast("early_stopping.patience", earlyStopping.patience, 0)
    try notNegative("early_stopping.minimum_delta", earlyStopping.minimumDelta)
    try atLeast("checks.recompute_every", checks.recomputeEvery, 0)
    try atLeast("log.every_steps", log.everySteps, 1)
  }

  private func validateOptimizer() throws(ConfigProblem) {
    try notNegative("optimizer.learning_rate", optimizer.learningRate)
    try notNegative("optimizer.momentum", optimizer.momentum)
    if optimizer.nesterov {
      guard optimizer.name == .sgd else {
        throw ConfigProblem(
          "optimizer.nesterov", "optimizer.name",
          problem: "is for sgd, but optimizer.name is \(optimizer.name.rawValue)")
      }
      guard optimizer.momentum > 0 else {
        throw ConfigProblem(
          "optimizer.nesterov", "optimizer.momentum",
          problem: "expects a momentum above 0, got \(optimizer.momentum)")
      }
    }
    try notNegative("optimizer.weight_decay", optimizer.weightDecay)
    try notNegative("optimizer.l1", optimizer.l1)
    try share("optimizer.beta1", optimizer.beta1)
    try share("optimizer.beta2", optimizer.beta2)
    try notNegative("optimizer.epsilon", optimizer.epsilon)
    try share("optimizer.alpha", optimizer.alpha)
    try positive("optimizer.trust_coefficient", optimizer.trustCoefficient)
    try notNegative("optimizer.clip_norm", optimizer.clipNorm)
    try notNegative("optimizer.clip_value", optimizer.clipValue)
    try share("ema.decay", ema.decay)
    for (index, group) in optimizer.groups.enumerated() {
      let key = "optimizer.groups[\(index)]"
      guard !group.names.isEmpty else {
        throw ConfigProblem("\(key).names", key, problem: "expects patterns of names, got none")
      }
      try notNegative("\(key).rate_scale", group.rateScale)
      if let decay = group.weightDecay { try notNegative("\(key).weight_decay", decay) }
    }
    guard optimizer.layerDecay > 0, optimizer.layerDecay <= 1 else {
      throw ConfigProblem(
        "optimizer.layer_decay", problem: "expects a number above 0 and up to 1, got \(optimizer.layerDecay)")
    }
  }

  private func validateTransfer() throws(ConfigProblem) {
    if case .blocks(let count) = transfer.freeze { try atLeast("transfer.freeze", count, 0) }
    var last = 0
    for (index, step) in transfer.unfreeze.enumerated() {
      let key = "transfer.unfreeze[\(index)]"
      guard transfer.freeze != .none else {
        throw ConfigProblem(
          key, "transfer.freeze", problem: "expects something in transfer.freeze that it can unfreeze")
      }
      guard step.epoch > last, step.epoch < training.epochs else {
        throw ConfigProblem(
          "\(key).epoch", key,
          problem:
            "expects an epoch after \(last) and before training.epochs (\(training.epochs)), got \(step.epoch)"
        )
      }
      last = step.epoch
    }
  }

  private func validateSchedule() throws(ConfigProblem) {
    try notNegative("schedule.warmup_epochs", schedule.warmupEpochs)
    guard schedule.warmupEpochs <= Double(training.epochs) else {
      throw ConfigProblem(
        "schedule.warmup_epochs", "training.epochs",
        problem: "expects at most training.epochs (\(training.epochs)), got \(schedule.warmupEpochs)")
    }
    try atLeast("schedule.step_epochs", schedule.stepEpochs, 1)
    for milestone in schedule.milestones { try atLeast("schedule.milestones", milestone, 0) }
    try notNegative("schedule.gamma", schedule.gamma)
    try notNegative("schedule.minimum", schedule.minimum)
    try atLeast("schedule.reference_batch", schedule.referenceBatch, 1)
    guard schedule.minimum <= scaledLearningRate else {
      let scaled = schedule.scaling == .none ? "" : " scaled to the batch"
      throw ConfigProblem(
        "schedule.minimum", "optimizer.learning_rate",
        problem:
          "expects at most optimizer.learning_rate\(scaled) (\(scaledLearningRate)), got \(schedule.minimum)")
    }
    try notNegative("schedule.power", schedule.power)
    try share("schedule.one_cycle.pct_start", schedule.oneCycle.riseShare)
    try positive("schedule.one_cycle.div_factor", schedule.oneCycle.startDivisor)
    try positive("schedule.one_cycle.final_div_factor", schedule.oneCycle.finalDivisor)
    try atLeast("schedule.plateau.patience", schedule.plateau.patience, 0)
    try share("schedule.plateau.factor", schedule.plateau.factor)
    try share("schedule.plateau.threshold", schedule.plateau.threshold)
  }

  private func validateReduce() throws(ConfigProblem) {
    let microbatches = (training.batch + training.microbatch - 1) / training.microbatch
    guard reduce.precision == .fp32 || microbatches <= NodeRounding.mostMicrobatches else {
      throw ConfigProblem(
        "reduce.precision", "training.batch", "training.microbatch",
        problem:
          "bf16 expects at most \(NodeRounding.mostMicrobatches) microbatches a step, got \(microbatches)")
    }
    guard reduce.fanIn == 0 || (reduce.fanIn > 1 && reduce.fanIn & (reduce.fanIn - 1) == 0) else {
      throw ConfigProblem(
        "reduce.fan_in", problem: "expects 0 or a power of two from 2 on, got \(reduce.fanIn)")
    }
    guard reduce.fanIn == 0 || reduce.precision == .fp32 else {
      throw ConfigProblem(
        "reduce.fan_in", "reduce.precision", problem: "sums are added up by stages in fp32 only")
    }
    guard reduce.bucketBytes == 0 || reduce.bucketBytes >= ReduceConfig.smallestBucket else {
      throw ConfigProblem(
        "reduce.bucket_bytes",
        problem: "expects 0 (automatic) or at least \(ReduceConfig.smallestBucket), got \(reduce.bucketBytes)"
      )
    }
  }

  private func atLeast(_ key: String, _ value: Int, _ least: Int) throws(ConfigProblem) {
    guard value >= least else { throw ConfigProblem(key, problem: "expects at least \(least), got \(value)") }
  }

  private func finite(_ key: String, _ value: Double) throws(ConfigProblem) {
    guard value.isFinite else { throw ConfigProblem(key, problem: "expects a finite number, got \(value)") }
  }

  private func notNegative(_ key: String, _ value: Double) throws(ConfigProblem) {
    try finite(key, value)
    guard value >= 0 else { throw ConfigProblem(key, problem: "expects at least 0, got \(value)") }
  }

  private func positive(_ key: String, _ value: Double) throws(ConfigProblem) {
    try finite(key, value)
    guard value > 0 else { throw ConfigProblem(key, problem: "expects more than 0, got \(value)") }
  }

  private func share(_ key: String, _ value: Double) throws(ConfigProblem) {
    guard value >= 0, value < 1 else {
      throw ConfigProblem(key, problem: "expects a number from 0 to below 1, got \(value)")
    }
  }
}
