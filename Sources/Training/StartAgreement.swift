import CellData
import Collectives
import Glibc
import Tensors

/// What all ranks must have in common before the first step, beside the binding (`Workplace`).
package enum StartAgreement {
  /// What the ranks were told: a rank with another command line would otherwise be overruled by rank 0.
  static func require(_ options: TrainOptions, communicator: Communicator) throws {
    try communicator.requireEqual([
      ("--config", options.config ?? "not given"),
      ("--set", options.overrides.isEmpty ? "not given" : options.overrides.joined(separator: ", ")),
      ("--resume", "\(options.resume)"),
    ])
  }

  /// What follows from configuration and data on each rank, and the images as each rank's own file system
  /// shows them: only their sizes, since each image is opened by the rank that computes it.
  static func require(_ config: RunConfig, data: RunData, layout: FlatLayout, communicator: Communicator)
    throws
  {
    guard communicator.size > 1 else { return }
    var arrays = ContentHasher()
    for entry in layout.entries { arrays.update("\(entry.name) \(entry.shape) \(entry.offset)\n") }
    try communicator.requireEqual([
      ("configuration", "\(try config.hash())"),
      ("data fingerprint", "\(data.dataset.fingerprint)"),
      ("network", "\(arrays.finish())"),
      (
        "image files",
        config.data.path == DataConfig.synthetic ? "none" : sizes(of: data.dataset, ranks: communicator.size)
      ),
    ])
  }

  /// How many files each rank looks at: all ranks at once ask the server of a shared file system.
  package static func sampleCount(ranks: Int) -> Int { min(1000, max(32, 4000 / ranks)) }

  /// A word for the sizes of files, or for the first that isn't there.
  package static func sizes(of paths: some Collection<String>) -> String {
    var hasher = ContentHasher()
    for path in paths {
      var status = stat()
      guard stat(path, &status) == 0 else { return "\(path) missing" }
      hasher.update("\(status.st_size) ")
    }
    return "of fingerprint \(hasher.finish())"
  }

  private static func sizes(of dataset: Dataset, ranks: Int) -> String {
    let count = dataset.samples.count
    return sizes(
      of: stride(from: 0, to: count, by: max(1, count / sampleCount(ranks: ranks)))
        .map { dataset.path(of: $0) })
  }
}
