import CellData
import Collectives
import Models
import Tensors

extension TrainedRun {
  /// What is in a run directory, on every rank: the configuration, and the network and its values by one of the
  /// checkpoints.
  struct Content {
    let config: RunConfig
    let weights: Weights
    let checkpoint: CheckpointState
    let network: Network
    /// As the network's layout places them.
    let values: FloatBuffer

    /// Reads the run on rank 0 and hands it out. Collective.
    init(
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
          let trained = try opened.values(of: path, network, config)
          values.pointer.update(from: trained.pointer, count: trained.count)
        }
        return (network, values)
      }
      try communicator.broadcastFloats(values, count: network.layout.extent)
      var state = opened.checkpoint
      if opened.weights.file != nil {
        state.weightsHash = WeightsHash.of(values.pointer, layout: network.layout).description
      }
      (self.config, self.weights, checkpoint) = (config, opened.weights, state)
      (self.network, self.values) = (network, values)
    }
  }

  /// What rank 0 reads and the others are told.
  private struct Opened: Codable {
    var config: String
    var weights: Weights
    /// The name of the checkpoint that says what the images are.
    var name: String
    var checkpoint: CheckpointState

    init(_ path: String, weights: Weights?, overrides: [String], data: String?) throws {
      var config = try TrainedRun.config(of: path, overrides: overrides)
      if let data { config.data.path = data }
      self.config = try config.encodedYAML()
      (self.weights, name) = try TrainedRun.chosen(weights, in: path)
      checkpoint = try CheckpointStore.verifiedState(at: "\(path)/\(name)")
    }

    func values(of path: String, _ network: Network, _ config: RunConfig) throws -> FloatBuffer {
      if let file = weights.file {
        return try network.values(of: file, inputAdaptation: config.model.inputAdaptation).0
      }
      return FloatBuffer(try CheckpointStore.weights(at: "\(path)/\(name)", layout: network.layout).values)
    }
  }
}
