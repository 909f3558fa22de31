import Foundation
import Models
import Tensors

extension TrainedRun {
  /// What an ONNX file says beside its network, as a run's configuration and state.
  struct Described {
    let config: RunConfig
    let state: CheckpointState

    /// Throws `WeightsError` where the images aren't square, or of other than 1 or 3 channels.
    init(_ imported: ONNXImport, path: String, overrides: [String], data: String?) throws {
      let (network, metadata) = (imported.network, imported.metadata)
      guard network.input.height == network.input.width, [1, 3].contains(network.input.channels) else {
        throw WeightsError(
          path: path, problem: "takes images \(network.input); square ones of 1 or 3 channels are made")
      }
      var config = try ConfigLoader.load(file: nil, overrides: overrides).config
      config.model.name = metadata["model"] ?? "onnx"
      config.data.image.size = network.input.height
      config.data.image.channels = network.input.channels
      let side = metadata["image_resize"].flatMap { Int($0) } ?? 0
      config.data.image.resize = side >= network.input.height ? side : 0
      if let data { config.data.path = data }
      self.config = config
      let named = CheckpointArrays.classes(in: metadata) ?? []
      let classes = named.count == network.classes ? named : (0..<network.classes).map { "class \($0)" }
      let channels = network.input.channels
      let (mean, deviation) =
        imported.normalisation
        ?? (
          mean: Array(repeating: Float(0), count: channels),
          deviation: Array(repeating: Float(1), count: channels)
        )
      state = CheckpointState(
        epoch: 0, step: 0, stepInEpoch: 0, model: config.model.name, classes: classes,
        mean: mean, deviation: deviation, configHash: "", dataFingerprint: "", binding: [:],
        weightsHash: WeightsHash.of(imported.values.pointer, layout: network.layout).description)
    }
  }
}
