import CellData
import Collectives
import Tensors

/// The images of a run as every rank knows them: the index, where pixels come from, and what happens to
/// them on the way to the network.
package struct RunData: Sendable {
  package let dataset: Dataset
  package let cache: ImageCache
  package let pipeline: ImagePipeline
  /// What the check of the files found; nil where there are none.
  package let check: CheckPart?
  /// Files that were left out (`data.on_bad_image: skip`).
  package let leftOut: [BadImage]
  /// Whether the check was found on the disk, from an earlier run over the same files.
  package let checkWasCached: Bool

  package var normalisation: Normalisation { pipeline.normalisation }

  /// To train on: reads the index on rank 0, hands it out, checks every file once in the whole job, and
  /// finds the statistics for the normalisation. Collective.
  package init(_ config: RunConfig, communicator: Communicator, threads: Int) throws {
    let images = try CheckedImages(config, communicator: communicator, threads: threads) {
      try Dataset.load(
        path: config.data.path, classes: config.model.classes.isEmpty ? nil : config.model.classes,
        rule: config.splitRule)
    }
    let normalisation = try Self.normalisation(
      config, of: images, communicator: communicator, threads: threads)
    self.init(images, pipeline: config.imagePipeline(normalisation))
  }

  /// The images of one split, to try a trained network on: nothing else is checked or opened, and they are
  /// normalised as the network knows it. Collective. Throws `RunError` where the classes differ from those
  /// that the network was trained on, or where the split has no image.
  package init(
    of split: Split, for trained: CheckpointState, _ config: RunConfig, communicator: Communicator,
    threads: Int
  ) throws {
    let images = try CheckedImages(config, communicator: communicator, threads: threads) {
      let whole = try Self.index(config, for: trained)
      return whole.leavingOut(Set(whole.samples.indices.filter { whole.samples[$0].split != split }))
    }
    try communicator.together {
      // Cells that are drawn have no index to read.
      try RunError.requireClasses(trained.classes, of: "the network", toBe: images.dataset.classes)
      guard !images.dataset.indices(of: split).isEmpty else {
        throw RunError("\(config.data.path): no image in the split \(split.rawValue)")
      }
    }
    self.init(images, pipeline: config.imagePipeline(trained.normalisation))
  }

  private init(_ images: CheckedImages, pipeline: ImagePipeline) {
    (dataset, cache, check) = (images.dataset, images.cache, images.check)
    (leftOut, checkWasCached) = (images.leftOut, images.checkWasCached)
    self.pipeline = pipeline
  }

  /// The index of any data, its classes in the order of the network's outputs.
  private static func index(_ config: RunConfig, for trained: CheckpointState) throws -> Dataset {
    func load(_ classes: [String]?) throws -> Dataset {
      try Dataset.load(path: config.data.path, classes: classes, rule: config.splitRule, forTraining: false)
    }
    let found = try load(nil)
    let onlyTheOrderDiffers = Set(found.classes) == Set(trained.classes) && found.classes != trained.classes
    let ordered = onlyTheOrderDiffers ? try load(trained.classes) : found
    try RunError.requireClasses(trained.classes, of: "the network", toBe: ordered.classes)
    return ordered
  }

  /// As configured; else from the sums of the check; else from the training images, each rank its share.
  private static func normalisation(
    _ config: RunConfig, of images: CheckedImages, communicator: Communicator, threads: Int
  ) throws -> Normalisation {
    let given = config.data.normalisation
    if !given.mean.isEmpty {
      return Normalisation(mean: given.mean.map { Float($0) }, deviation: given.deviation.map { Float($0) })
    }
    if let computed = images.check?.statistics.normalisation { return computed }
    let training = images.dataset.indices(of: .train)
    let (rank, size) = (communicator.rank, communicator.size)
    let share = (training.count * rank / size)..<(training.count * (rank + 1) / size)
    var sums = ChannelStatistics(channels: config.data.image.channels)
    let mine = try communicator.together {
      try ChannelStatistics.gather(
        images.cache, images: Array(training[share]), channels: config.data.image.channels, threads: threads)
    }
    for part in try communicator.exchange(mine) { sums += part }
    return try communicator.together {
      guard let normalisation = sums.normalisation else {
        throw ManifestError(path: images.dataset.root, problem: "no image to train on")
      }
      return normalisation
    }
  }
}

extension RunData {
  /// The configuration with what the data says where it left that open, so that whoever continues or uses
  /// the run has the same classes and numbers.
  func completing(_ config: RunConfig) -> RunConfig {
    var config = config
    config.model.classes = dataset.classes
    config.data.normalisation.mean = normalisation.mean.map { Double($0) }
    config.data.normalisation.deviation = normalisation.deviation.map { Double($0) }
    return config
  }
}

extension RunConfig {
  /// What happens to an image on its way to the network.
  package func imagePipeline(_ normalisation: Normalisation) -> ImagePipeline {
    ImagePipeline(
      preparation: imagePreparation, normalisation: normalisation,
      augmentation: Augmentation(
        randomCrop: data.augmentation.randomCrop, horizontalFlip: data.augmentation.horizontalFlip,
        verticalFlip: data.augmentation.verticalFlip, quarterTurns: data.augmentation.quarterTurns),
      seed: UInt64(seed))
  }
}

extension CheckpointState {
  package var normalisation: Normalisation { Normalisation(mean: mean, deviation: deviation) }
}
