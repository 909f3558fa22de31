import CellData
import Collectives
import Foundation
import Models
import Tensors

/// A run that was trained, opened to be used, on every rank: its configuration, the weights of one of its
/// checkpoints, and what computes with them.
package struct TrainedRun {
  /// The weights of a checkpoint that has a name, that of the link in the run directory, or those of a file.
  package enum Weights: Codable, Hashable, Sendable {
    case best, latest
    case file(String)

    /// `best`, `latest`, or else the path of a file.
    package init(_ text: String) {
      switch text {
      case "best": self = .best
      case "latest": self = .latest
      default: self = .file(text)
      }
    }

    package var text: String {
      switch self {
      case .best: "best"
      case .latest: "latest"
      case .file(let path): path
      }
    }

    package var file: String? {
      guard case .file(let path) = self else { return nil }
      return path
    }
  }

  package let path: String
  package let config: RunConfig
  package let weights: Weights
  package let checkpoint: CheckpointState
  package let communicator: Communicator
  package let place: Workplace
  let inference: Inference

  /// Reads the run on rank 0 and hands it out. Collective.
  ///
  /// - Parameters:
  ///   - path: the run directory.
  ///   - weights: nil for the best, or the latest where no epoch was evaluated.
  ///   - overrides: `key=value`, laid over the run's configuration.
  ///   - data: images to use in the place of those that the run was trained on.
  package init(
    _ path: String, weights: Weights? = nil, overrides: [String] = [], data: String? = nil,
    communicator: Communicator
  ) throws {
    let content = try Content(
      path, weights: weights, overrides: overrides, data: data, communicator: communicator)
    config = content.config
    place = try Workplace(config, communicator: communicator)
    let folded = FoldedNetwork(content.network)
    try Inference.requireMemory(
      for: folded.network, images: config.training.microbatch, lanes: place.placement.lanes, communicator,
      kernels: place.kernels)
    inference = Inference(
      folded.network, values: folded.values(from: content.values), images: config.training.microbatch,
      team: place.team, kernels: place.kernels)
    (self.path, self.communicator) = (path, communicator)
    (self.weights, checkpoint) = (content.weights, content.checkpoint)
  }

  /// A network from an ONNX file that says what its classes are and how its images are prepared, as `export onnx` of
  /// a run writes it. Every rank reads the file. Collective.
  package init(onnx path: String, overrides: [String] = [], data: String? = nil, communicator: Communicator)
    throws
  {
    let (imported, described) = try communicator.together {
      let imported = try ONNXImport(path: path)
      return (imported, try Described(imported, path: path, overrides: overrides, data: data))
    }
    config = described.config
    place = try Workplace(config, communicator: communicator)
    let folded = FoldedNetwork(imported.network)
    try Inference.requireMemory(
      for: folded.network, images: config.training.microbatch, lanes: place.placement.lanes, communicator,
      kernels: place.kernels)
    inference = Inference(
      folded.network, values: folded.values(from: imported.values), images: config.training.microbatch,
      team: place.team, kernels: place.kernels)
    (self.path, self.communicator) = (path, communicator)
    (weights, checkpoint) = (.file(path), described.state)
  }

  package var classes: [String] { checkpoint.classes }

  /// What happens to an image on its way to the network, as in training.
  package var pipeline: ImagePipeline { config.imagePipeline(checkpoint.normalisation) }

  /// The length of the vector that the last layer reads. Throws `RunError` where there is none to be had.
  package func featureCount() throws(RunError) -> Int {
    guard let count = inference.featureCount else {
      throw RunError("\(config.modelName) has no layer before its last, so there are no features")
    }
    return count
  }

  /// Runs the network over images of `source`.
  package func evaluator(of source: any ImageSource) -> Evaluator {
    Evaluator(
      inference: inference, source: source, pipeline: pipeline, communicator: communicator,
      microbatch: config.training.microbatch, lanes: place.team.count, threads: place.loaders)
  }
}

extension TrainedRun {
  /// The configuration of the run in a directory. Throws `RunDirectoryError` where there is none.
  static func config(of path: String, overrides: [String] = []) throws -> RunConfig {
    guard FileManager.default.fileExists(atPath: RunDirectory.configPath(of: path)) else {
      throw RunDirectoryError(path: path, problem: "is no run directory (it holds no config.yaml)")
    }
    return try ConfigLoader.load(file: RunDirectory.configPath(of: path), overrides: overrides).config
  }

  /// Which weights are meant, and the checkpoint that says what they were trained on: that of their name, or for a
  /// file the best, or the latest where there is none. Throws `RunDirectoryError` where it isn't there yet.
  static func chosen(_ weights: Weights?, in path: String) throws -> (weights: Weights, checkpoint: String) {
    let found = [Weights.best, .latest].filter {
      FileManager.default.fileExists(atPath: "\(path)/\($0.text)")
    }
    let asked = weights?.file == nil ? weights : nil
    guard let checkpoint = asked ?? found.first, found.contains(checkpoint) else {
      let what = asked.map { "no \($0.text) checkpoint" } ?? "no checkpoint"
      throw RunDirectoryError(path: path, problem: "holds \(what) yet")
    }
    return (weights ?? checkpoint, checkpoint.text)
  }
}
