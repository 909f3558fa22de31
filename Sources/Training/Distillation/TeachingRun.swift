import CellData
import Collectives
import Layers
import Models
import Tensors

/// The run that teaches: what it says about images, and the network of its best weights.
struct TeachingRun {
  private let settings: DistillationConfig
  private let content: TrainedRun.Content

  /// Reads the run that a configuration names; nil where it names none. Collective.
  init?(_ config: DistillationConfig, communicator: Communicator) throws {
    guard !config.teacher.isEmpty else { return nil }
    settings = config
    content = try TrainedRun.Content(config.teacher, communicator: communicator)
  }

  private var normalisation: Normalisation { content.checkpoint.normalisation }

  /// The configuration of a run that learns from it: with its normalisation, where none is given, and its hash, by which
  /// it is known again. Throws `RunError` where it sees other images than the run, or is another than it was.
  func completing(_ config: RunConfig) throws(RunError) -> RunConfig {
    var config = config
    let (own, images) = (content.config.data.image, config.data.image)
    guard own.size == images.size, own.channels == images.channels else {
      throw refusal(
        "sees images of \(own.channels)×\(own.size)×\(own.size), but data.image says "
          + "\(images.channels)×\(images.size)×\(images.size)")
    }
    let given = config.data.normalisation
    if given.mean.isEmpty {
      config.data.normalisation.mean = normalisation.mean.map { Double($0) }
      config.data.normalisation.deviation = normalisation.deviation.map { Double($0) }
    } else if given.mean.map({ Float($0) }) != normalisation.mean
      || given.deviation.map({ Float($0) }) != normalisation.deviation
    {
      throw refusal(
        "normalises by mean \(normalisation.mean) and deviation \(normalisation.deviation), but data.normalisation says "
          + "\(given.mean) and \(given.deviation); leave it empty to take over the teacher's")
    }
    let hash = content.checkpoint.weightsHash
    guard settings.weightsHash.isEmpty || settings.weightsHash == hash else {
      throw refusal(
        "has weights of hash \(hash), but distillation.weights_hash says \(settings.weightsHash): its best weights have "
          + "changed since this run began")
    }
    config.distillation.weightsHash = hash
    return config
  }

  /// The teacher of a run on `data`. Throws `RunError` where it knows other classes.
  func teacher(for data: Dataset, kernels: InstructionSet) throws(RunError) -> Teacher {
    try RunError.requireClasses(
      content.checkpoint.classes, of: "distillation.teacher \(settings.teacher)", toBe: data.classes)
    return Teacher(
      content.network, values: content.values,
      distillation: Distillation(
        temperature: Float(settings.temperature), weight: Float(settings.weight)),
      kernels: kernels)
  }

  /// What a user should know.
  var notice: String {
    let best = content.checkpoint.best
    let quality = best.value.map { value in
      ", \(content.config.checkpoint.bestMetric.rawValue) \((value * 1e4).rounded() / 1e4) in validation"
    }
    return "learns from \(settings.teacher): \(content.config.modelName), \(content.weights.text) weights"
      + "\(quality ?? ""); temperature \(settings.temperature), weight \(settings.weight)"
  }

  /// Whether validation and test hold what the teacher may have been trained on.
  func warnings(_ data: Dataset) -> [String] {
    guard content.checkpoint.dataFingerprint != "\(data.fingerprint)" else { return [] }
    return [
      "the teacher was trained on other files or another split: where it has seen images of this run's validation and "
        + "test splits, they flatter its student"
    ]
  }

  private func refusal(_ problem: String) -> RunError {
    RunError("distillation.teacher \(settings.teacher) \(problem)")
  }
}
