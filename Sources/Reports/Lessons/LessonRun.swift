import CellData
import Foundation
import Models
import Tensors
import Training

/// A trained run, opened to be looked at by one process.
package struct LessonRun: Sendable {
  package let path: String
  package let config: RunConfig
  package let checkpoint: CheckpointState
  package let network: Network
  package let values: FloatBuffer

  /// Opens the best weights, or the latest where no epoch was evaluated. Throws where the folder holds no run, or the
  /// run no weights yet.
  package init(_ path: String) throws {
    guard FileManager.default.fileExists(atPath: RunDirectory.configPath(of: path)) else {
      throw RunDirectoryError(path: path, problem: "is no run directory (it holds no config.yaml)")
    }
    config = try ConfigLoader.load(file: RunDirectory.configPath(of: path)).config
    let names = ["best", "latest"]
    guard let name = names.first(where: { FileManager.default.fileExists(atPath: "\(path)/\($0)") }) else {
      throw RunDirectoryError(path: path, problem: "holds no weights yet: no checkpoint was written")
    }
    checkpoint = try CheckpointStore.verifiedState(at: "\(path)/\(name)")
    network = try config.network(classes: checkpoint.classes.count)
    values = FloatBuffer(try CheckpointStore.weights(at: "\(path)/\(name)", layout: network.layout).values)
    self.path = path
  }

  /// An image as the network is given it, (1, C, H, W), and as people see it.
  func prepared(_ image: PixelImage, named name: String) throws -> (input: Batch, seen: PixelImage) {
    let kept = try config.imagePreparation.apply(to: image, named: name)
    let pipeline = config.imagePipeline(checkpoint.normalisation)
    let (side, channels) = (config.data.image.size, config.data.image.channels)
    let target = FloatBuffer(count: channels * side * side)
    pipeline.place(kept, pipeline.centreView(of: kept), into: target.pointer, number: 0, of: 1)
    return (Batch([1, channels, side, side], target.values), kept)
  }
}
