import CellData
import Layers
import Models
import Tensors

extension RunConfig {
  /// The network that the configuration describes, for `classes` classes. Throws `NetworkError`.
  package func network(classes: Int) throws(NetworkError) -> Network {
    try describedNetwork(classes: classes)
      .computing(by: engine.convolution, in: engine.precision, measured: engine.algorithms)
      .takingStatistics(over: training.batchStatistics)
  }

  private func describedNetwork(classes: Int) throws(NetworkError) -> Network {
    let input = FeatureShape(channels: data.image.channels, height: data.image.size, width: data.image.size)
    let initialisation = model.initialisation.rule
    if case .list(let items) = model.layers, !items.isEmpty {
      return try LayerList.network(items, input: input, classes: classes, initialisation: initialisation)
    }
    return try ModelZoo.network(
      model.name, input: input,
      options: ModelZoo.Options(classes: classes, dropout: model.dropout, initialisation: initialisation))
  }

  /// What the model is called in reports.
  package var modelName: String {
    if case .list(let items) = model.layers, !items.isEmpty { return "layers" }
    return model.name
  }
}

extension ModelConfig.Initialisation {
  var rule: WeightInitialisation? {
    switch self {
    case .asDesigned: nil
    case .pytorch: .pytorch
    case .he: .he
    case .glorot: .glorot
    }
  }
}

/// Settings that don't go together with the network or the data.
package struct RunError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }

  /// Throws where what `weights` were trained on are not the classes of the data, in the same order.
  static func requireClasses(_ trained: [String], of weights: String, toBe classes: [String]) throws(RunError)
  {
    guard trained != classes else { return }
    throw RunError(
      "\(weights) was trained on classes \(trained.joined(separator: ", ")), but the data has "
        + classes.joined(separator: ", "))
  }
}

extension Network {
  /// The values that a run begins with, random by the seed, and over them those of `model.weights`; and what a user
  /// should know of that. Throws what `WeightsFile` and `WeightsFitting` throw.
  package func startingValues(_ config: RunConfig, classes: [String]) throws -> (
    values: FloatBuffer, notices: [String]
  ) {
    let values = initialValues(seed: UInt64(config.seed))
    guard !config.model.weights.isEmpty else { return (values, []) }
    let file = try WeightsFile(path: config.model.weights)
    var fitting = WeightsFitting(
      match: config.model.weightsMatch, inputAdaptation: config.model.inputAdaptation)
    if let trained = CheckpointArrays.classes(in: file.metadata), trained != classes {
      fitting.newHead =
        "the file is of classes \(trained.joined(separator: ", ")), the data of \(classes.joined(separator: ", "))"
    }
    let remarks = try fitting.load(file, into: values, of: self)
    let beginning = "begins with the weights of \(file.path) (\(file.format.rawValue))"
    return (values, [beginning] + remarks.map { "\(file.path): \($0)" })
  }

  /// Throws where a microbatch or a step of the run would be too small to train on.
  package func checkMicrobatches(of order: EpochOrder) throws(RunError) {
    let steps = [0, order.stepsPerEpoch - 1].map { order.microbatches(ofStep: $0).map(\.count) }
    let least = steps.map { $0.reduce(0, +) }.min() ?? 0
    guard least >= smallestBatch else {
      throw RunError(
        "batch norm expects more than 1 value per channel when training, but a step of \(least) image(s) "
          + "occurs; change training.batch, or set training.drop_last: true")
    }
    let smallest = steps.joined().min() ?? 0
    guard smallest < smallestMicrobatch else { return }
    throw RunError(
      "batch norm expects more than 1 value per channel when training, but a microbatch of \(smallest) image(s) "
        + "occurs; change training.batch or training.microbatch, or set training.drop_last: true")
  }
}
