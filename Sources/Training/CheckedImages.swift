import CellData
import Collectives
import Foundation
import Tensors

/// The images that a job works on, each file checked once in the whole job, as every rank knows them.
struct CheckedImages {
  let dataset: Dataset
  let cache: ImageCache
  /// What the check of the files found; nil where there are none.
  let check: CheckPart?
  /// Files that were left out (`data.on_bad_image: skip`).
  let leftOut: [BadImage]
  /// Whether the check was found on the disk, from an earlier run over the same files.
  let checkWasCached: Bool

  /// Rank 0 reads the index, by `index` unless cells are drawn, and hands it out. Collective.
  init(
    _ config: RunConfig, communicator: Communicator, threads: Int, index: () throws -> Dataset
  ) throws {
    let budget = config.data.cacheMegabytes << 20
    if config.data.path == DataConfig.synthetic {
      let synthetic = SynthSource(
        seed: UInt64(config.seed), count: config.data.synthetic.images, kinds: config.data.synthetic.kinds,
        preparation: config.imagePreparation)
      dataset = synthetic.dataset(rule: config.splitRule)
      cache = ImageCache(synthetic, budgetBytes: budget)
      (check, leftOut, checkWasCached) = (nil, [], false)
      return
    }
    let found = try communicator.fromCoordinator(index)
    let cache = ImageCache(
      FolderSource(dataset: found, preparation: config.imagePreparation), budgetBytes: budget)
    let result = try Self.check(
      DataCheck(dataset: found, preparation: config.imagePreparation, level: config.data.check.level),
      policy: config.data.onBadImage.policy, communicator: communicator, threads: threads, cache: cache)
    dataset = result.dataset
    // Where images were left out, the numbers of the others have changed.
    self.cache =
      result.part.bad.isEmpty
      ? cache
      : ImageCache(
        FolderSource(dataset: dataset, preparation: config.imagePreparation), budgetBytes: budget)
    (check, leftOut, checkWasCached) = (result.part, result.part.bad, result.cached)
  }

  /// Opens each file once in the job, each rank its share; or finds on rank 0's disk what an earlier job
  /// found in the same files.
  private static func check(
    _ check: DataCheck, policy: BadImagePolicy, communicator: Communicator, threads: Int, cache: ImageCache
  ) throws -> (part: CheckPart, dataset: Dataset, cached: Bool) {
    struct Known: Codable {
      var key: String
      var part: CheckPart?
    }
    let known = try communicator.fromCoordinator {
      let key = CheckRecord.key(of: check)
      return Known(
        key: key, part: check.level == .off ? nil : CheckRecord.read(Self.recordPath(key), key: key))
    }
    if let part = known.part {
      let dataset = try communicator.fromCoordinator { try part.apply(policy, to: check.dataset) }
      return (part, dataset, true)
    }
    let mine = check.check(check.range(of: communicator.rank, of: communicator.size), threads: threads) {
      cache.keep($0, $1)
    }
    var whole = CheckPart(channels: check.preparation.channels)
    for part in try communicator.exchange(mine) { whole.merge(part) }
    let dataset = try communicator.fromCoordinator {
      // A cache that can't be written costs time, nothing else.
      if check.level != .off {
        try? CheckRecord(key: known.key, part: whole).write(to: Self.recordPath(known.key))
      }
      return try whole.apply(policy, to: check.dataset)
    }
    return (whole, dataset, false)
  }

  private static func recordPath(_ key: String) -> String { UserCache.path("check-\(key).json") }
}

extension RunConfig {
  /// How images are kept in memory.
  package var imagePreparation: ImagePreparation {
    ImagePreparation(
      channels: data.image.channels, size: data.image.size, shorterSide: data.image.resizedSide)
  }

  /// How images that nobody assigned are shared out over train, val and test.
  var splitRule: SplitRule {
    SplitRule(validation: data.split.validation, test: data.split.test, seed: UInt64(seed))
  }
}

extension DataConfig.Check {
  var level: DataCheck.Level {
    switch self {
    case .full: .full
    case .headers: .headers
    case .off: .off
    }
  }
}

extension DataConfig.BadImage {
  var policy: BadImagePolicy { self == .skip ? .skip : .stop }
}
