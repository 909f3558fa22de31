import CellData
import Collectives
import Foundation
import Layers
import Models
import Tensors

/// What the frozen trunk of a network gives for every image of the data, without augmentation, computed once and kept
/// in the user's cache under a key of everything it depends on.
struct TrunkFeatures {
  /// Floats of an image: (C, H, W).
  let width: Int
  /// By number of the image in the data.
  let rows: FloatBuffer
  /// The file that they were read from; nil where they were computed now.
  let cached: String?

  /// Computed elsewhere, of all images.
  init(rows: FloatBuffer, width: Int) { (self.rows, self.width, cached) = (rows, width, nil) }

  /// Collective. `progress` hears how many of this rank's images are done.
  init(
    _ job: TrainingJob, trunk: Int, progress: (Int, Int) -> Void = { _, _ in }
  ) throws {
    let width = job.network.nodes[trunk].shape.count
    let all = Array(job.data.dataset.samples.indices)
    let path = UserCache.path("features-\(try Self.key(job, trunk: trunk)).safetensors")
    var known: [Float]?
    struct Known: Codable { var isThere: Bool }
    let isThere = try job.communicator.fromCoordinator {
      known = Self.read(path, shape: [all.count, width])
      return Known(isThere: known != nil)
    }.isThere
    if !isThere {
      known = try job.evaluator.outputs(of: trunk, for: all, progress: progress)
      try job.communicator.together {
        guard let known else { return }
        var writer = Safetensors.Writer()
        writer.add(Self.name, Tensor(shape: [all.count, width], values: known))
        try DurableFile.replace(path, with: writer.encoded())
      }
    }
    rows = FloatBuffer(count: all.count * width)
    if let known { rows.pointer.update(from: known, count: known.count) }
    try job.communicator.broadcastFloats(rows, count: rows.count)
    (self.width, cached) = (width, isThere ? path : nil)
  }

  private static let name = "features"

  /// What a file holds; nil where there is none, or another thing.
  private static func read(_ path: String, shape: Shape) -> [Float]? {
    guard FileManager.default.fileExists(atPath: path), let file = try? Safetensors.Reader(path: path),
      let tensor = try? file.tensor(name), tensor.shape == shape
    else { return nil }
    return tensor.values
  }

  /// Weights, layers and algorithms of the trunk, images and their preparation.
  private static func key(_ job: TrainingJob, trunk: Int) throws -> ContentHash {
    let (network, config) = (job.network, job.config)
    var hasher = ContentHasher()
    for node in network.nodes[...trunk] {
      hasher.update("\(node.name) \(node.layer) \(node.inputs) \(node.shape)\n")
      for entry in node.parameters + node.statistics {
        entry.array(in: job.step.values.pointer).withUnsafeBytes { hasher.update($0) }
      }
    }
    for (name, value) in job.place.binding.entries { hasher.update("\(name) \(value)\n") }
    hasher.update("\(job.data.dataset.fingerprint) \(config.data.image) \(job.data.normalisation)\n")
    if config.data.path == DataConfig.synthetic {
      hasher.update("\(config.data.synthetic) \(config.seed)\n")
    } else {
      for sample in job.data.dataset.samples.indices {
        var status = stat()
        guard stat(job.data.dataset.path(of: sample), &status) == 0 else { continue }
        hasher.update("\(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)\n")
      }
    }
    return hasher.finish()
  }

  /// A microbatch of images by number, as a lane takes it in: (C, N, H, W).
  func microbatch(_ samples: ArraySlice<Int>, labels: [Int32], area: Int, place: BatchPlace)
    -> LoadedMicrobatch
  {
    let pixels = FloatBuffer(count: samples.count * width)
    for (image, sample) in samples.enumerated() {
      for channel in 0..<(width / area) {
        (pixels.pointer + (channel * samples.count + image) * area)
          .update(from: rows.pointer + sample * width + channel * area, count: area)
      }
    }
    return LoadedMicrobatch(pixels: pixels, labels: labels, place: place)
  }
}
