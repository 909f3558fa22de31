import Foundation
import Reports
import Training

/// What a checkpoint is, by its state.
struct CheckpointInspection: Inspection {
  let path: String
  let model: String
  let classes: [String]
  /// Finished epochs and steps.
  let epochs: Int
  let step: Int
  let weightsHash: String
  let dataFingerprint: String
  let configHash: String
  let binding: [String: String]

  enum CodingKeys: String, CodingKey {
    case path, model, classes, epochs, step, binding
    case weightsHash = "weights_hash"
    case dataFingerprint = "data_fingerprint"
    case configHash = "config_hash"
  }

  /// Throws where a file of the checkpoint is missing or not what was written.
  init(_ path: String) throws { self.init(path, try CheckpointStore.verifiedState(at: path)) }

  init(_ path: String, _ state: CheckpointState) {
    self.path = path
    (model, classes, epochs, step) = (state.model, state.classes, state.epoch, state.step)
    (weightsHash, dataFingerprint) = (state.weightsHash, state.dataFingerprint)
    (configHash, binding) = (state.configHash, state.binding)
  }

  var text: String { FactLines.text([("checkpoint", path)] + facts) }

  var facts: [(name: String, value: String)] {
    [
      ("model", "\(model), \(classes.count) classes: \(classes.joined(separator: ", "))"),
      ("trained", "\(epochs) epochs, \(Figures.grouped(step)) steps"),
      ("weights hash", weightsHash),
      ("data", "fingerprint \(dataFingerprint)"),
      ("binding", binding.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: "; ")),
    ]
  }
}

/// What a run is: its newest checkpoint, and how good the best epoch was.
struct RunInspection: Inspection {
  struct Best: Encodable {
    let metric: String
    let value: Double
    /// Counted from 1, as people do.
    let epoch: Int
    let step: Int
    let weightsHash: String?

    enum CodingKeys: String, CodingKey {
      case metric, value, epoch, step
      case weightsHash = "weights_hash"
    }
  }

  let path: String
  let config: RunConfig
  /// nil where none is written yet.
  let latest: CheckpointInspection?
  let best: Best?

  /// Throws where the configuration, or the checkpoint that `latest` or `best` names, is damaged.
  init(_ path: String) throws {
    self.path = path
    config = try ConfigLoader.load(file: RunDirectory.configPath(of: path)).config
    func state(_ link: String) throws -> CheckpointState? {
      guard FileManager.default.fileExists(atPath: "\(path)/\(link)") else { return nil }
      return try CheckpointStore.verifiedState(at: "\(path)/\(link)")
    }
    let newest = try state("latest")
    latest = newest.map { CheckpointInspection(path, $0) }
    guard let found = newest?.best, let value = found.value, let epoch = found.epoch, let step = found.step
    else {
      best = nil
      return
    }
    best = Best(
      metric: config.checkpoint.bestMetric.rawValue, value: value, epoch: epoch + 1, step: step,
      weightsHash: try state("best")?.weightsHash)
  }

  private enum Key: String, CodingKey {
    case path, model, classes, best, data
    case plannedEpochs = "planned_epochs"
  }

  func encode(to encoder: any Encoder) throws {
    try latest?.encode(to: encoder)
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(path, forKey: .path)
    try container.encode(config.modelName, forKey: .model)
    try container.encode(config.model.classes, forKey: .classes)
    try container.encode(config.data.path, forKey: .data)
    try container.encode(config.training.epochs, forKey: .plannedEpochs)
    try container.encodeIfPresent(best, forKey: .best)
  }

  var text: String {
    let epochs = config.training.epochs
    guard let latest else {
      return FactLines.text([
        ("run", path), ("model", config.modelName),
        ("trained", "no checkpoint yet; \(epochs) epochs planned"),
        ("data", config.data.path),
      ])
    }
    var facts = [("run", path)] + latest.facts
    facts[2].1 = "\(latest.epochs) of \(epochs) epochs, \(Figures.grouped(latest.step)) steps"
    facts[4].1 = "\(config.data.path), fingerprint \(latest.dataFingerprint)"
    if let best {
      let weights = best.weightsHash.map { ", weights hash \($0)" } ?? ""
      facts.insert(
        (
          "best",
          "\(best.metric) \(Figures.decimal(best.value)) after epoch \(best.epoch) (step \(best.step))\(weights)"
        ), at: 3)
    }
    return FactLines.text(facts)
  }
}
