import CellData
import Collectives
import Foundation
import Models
import Tensors

/// A run that was trained, opened to be used, on every rank: its configuration, the weights of one of its
/// checkpoints, and what computes with them.
package struct TrainedRun {
  /// The checkpoints that have a name; the name is that of the link in the run directory.
  package enum Weights: String, Codable, CaseIterable, Sendable { case best, latest }

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
    let opened = try communicator.fromCoordinator {
      try Opened(path, weights: weights, overrides: overrides, data: data)
    }
    let config = try ConfigLoader.load(text: opened.config, name: "configuration").config
    let (network, values) = try communicator.together {
      let network = try config.network(classes: opened.checkpoint.classes.count)
      let values = FloatBuffer(count: network.layout.extent)
      if communicator.rank == 0 {
        let trained = try CheckpointStore.weights(
          at: "\(path)/\(opened.weights.rawValue)", layout: network.layout)
        values.pointer.update(from: trained.values, count: trained.values.count)
      }
      return (network, values)
    }
    try communicator.broadcastFloats(values, count: network.layout.extent)
    place = try Workplace(config, communicator: communicator)
    let folded = FoldedNetwork(network)
    inference = Inference(
      folded.network, values: folded.values(from: values), images: config.training.microbatch,
      team: place.team, kernels: place.kernels)
    (self.path, self.config, self.communicator) = (path, config, communicator)
    (self.weights, checkpoint) = (opened.weights, opened.checkpoint)
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

  /// What rank 0 reads and the others are told.
  private struct Opened: Codable {
    var config: String
    var weights: Weights
    var checkpoint: CheckpointState

    init(_ path: String, weights: Weights?, overrides: [String], data: String?) throws {
      guard FileManager.default.fileExists(atPath: RunDirectory.configPath(of: path)) else {
        throw RunDirectoryError(path: path, problem: "is no run directory (it holds no config.yaml)")
      }
      var config = try ConfigLoader.load(file: RunDirectory.configPath(of: path), overrides: overrides).config
      if let data { config.data.path = data }
      self.config = try config.encodedYAML()
      let found = Weights.allCases.filter { FileManager.default.fileExists(atPath: "\(path)/\($0.rawValue)") }
      guard let chosen = weights ?? found.first, found.contains(chosen) else {
        let what = weights.map { "no \($0.rawValue) checkpoint" } ?? "no checkpoint"
        throw RunDirectoryError(path: path, problem: "holds \(what) yet")
      }
      self.weights = chosen
      checkpoint = try CheckpointStore.verifiedState(at: "\(path)/\(chosen.rawValue)")
    }
  }
}
