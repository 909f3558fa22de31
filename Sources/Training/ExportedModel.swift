import Foundation
import Models
import Tensors

/// A trained network on its way to other programs: with weights of a run, or of a file for a network of the zoo.
package struct ExportedModel {
  package let network: Network
  package let values: FloatBuffer
  /// What the network is called.
  package let model: String
  /// Empty where nobody named them.
  package let classes: [String]
  /// Finished steps, which PyTorch's batch norms count, too.
  package let step: Int
  /// Of the run's checkpoint; nil where there is no run.
  package let state: CheckpointState?
  /// nil for weights of a file alone.
  package let preparation: Preparation?
  /// What a user should know.
  package let remarks: [String]

  /// What happens to an image before the network.
  package struct Preparation: Sendable {
    package let mean: [Float]
    package let deviation: [Float]
    /// Pixels of the shorter side before cropping.
    package let resizedSide: Int
  }

  /// The weights of a run's checkpoint, or of `file` for its network.
  package init(run path: String, weights: TrainedRun.Weights?) throws {
    let config = try TrainedRun.config(of: path)
    let chosen = try TrainedRun.chosen(weights, in: path)
    let state = try CheckpointStore.verifiedState(at: "\(path)/\(chosen.checkpoint)")
    network = try config.network(classes: state.classes.count)
    if let file = chosen.weights.file {
      (values, remarks) = try network.values(of: file, inputAdaptation: config.model.inputAdaptation)
    } else {
      values = FloatBuffer(
        try CheckpointStore.weights(at: "\(path)/\(chosen.checkpoint)", layout: network.layout).values)
      remarks = []
    }
    (model, classes, step) = (config.modelName, state.classes, state.step)
    self.state = state
    preparation = Preparation(
      mean: state.mean, deviation: state.deviation, resizedSide: config.data.image.resizedSide)
  }

  /// The weights of a file for the network that a configuration describes.
  package init(_ config: RunConfig, classes: Int, weights path: String) throws {
    network = try config.network(classes: classes)
    (values, remarks) = try network.values(of: path, inputAdaptation: config.model.inputAdaptation)
    (model, step, preparation, state) = (config.modelName, 0, nil, nil)
    let names = CheckpointArrays.classes(in: try WeightsFile(path: path).metadata) ?? []
    self.classes = names.count == classes ? names : []
  }

  /// The network and weights of an ONNX file, with what else it says of its images.
  package init(onnx path: String) throws {
    let imported = try ONNXImport(path: path)
    let described = try TrainedRun.Described(imported, path: path, overrides: [], data: nil)
    (network, values, remarks) = (imported.network, imported.values, [])
    (model, classes, step) = (described.config.modelName, described.state.classes, 0)
    state = nil
    preparation = Preparation(
      mean: described.state.mean, deviation: described.state.deviation,
      resizedSide: described.config.data.image.resizedSide)
  }

  /// As an ONNX model.
  package func onnx(withNormalisation: Bool) throws -> [UInt8] {
    var export = ONNXExport(network, model: model)
    export.classes = classes
    if withNormalisation, let preparation {
      export.normalisation = ONNXExport.Normalisation(
        mean: preparation.mean, deviation: preparation.deviation, resizedSide: preparation.resizedSide)
    }
    return try export.encoded(values, producerVersion: Version.current)
  }

  /// As a safetensors file that torchvision's model of that name loads with `strict=True`.
  package func safetensors() -> [UInt8] {
    CheckpointArrays.weights(
      values.values, layout: network.layout, step: step, model: model, classes: classes
    )
    .encoded()
  }
}

extension Network {
  /// The values that a file has for the whole network, head included, and what a user should know of it. Throws what
  /// `WeightsFile` and `WeightsFitting` throw.
  package func values(of path: String, inputAdaptation: InputAdaptation) throws -> (FloatBuffer, [String]) {
    let values = FloatBuffer(count: layout.extent)
    let file = try WeightsFile(path: path)
    let fitting = WeightsFitting(inputAdaptation: inputAdaptation, expectsHead: true)
    return (values, try fitting.load(file, into: values, of: self).map { "\(path): \($0)" })
  }
}
