import CellData
import Foundation
import Models
import Tensors
import Training

/// A network that has learned, opened to be looked at by one process: of a run, or with the weights of a file.
package struct LessonRun: Sendable {
  /// The run directory, or the file.
  package let path: String
  /// What the network is called.
  package let model: String
  package let network: Network
  package let values: FloatBuffer
  package let classes: [String]
  /// Where the weights come from, in words.
  package let story: String
  /// How a run was trained; nil for weights of a file alone.
  package let config: RunConfig?
  /// What a user should know.
  package let remarks: [String]
  private let preparation: ImagePreparation
  private let normalisation: Normalisation

  /// Opens the best weights of a run, or the latest where no epoch was evaluated, or those that are asked for. Throws
  /// where the folder holds no run, or the run no weights yet.
  package init(_ path: String, weights: TrainedRun.Weights? = nil) throws {
    let model = try ExportedModel(run: path, weights: weights)
    let epochs = model.state?.epoch ?? 0
    let story =
      weights?.file.map { "with the weights of \($0)" }
      ?? "after \(epochs) epoch\(epochs == 1 ? "" : "s") (step \(model.step))"
    try self.init(
      model, path: path, story: story,
      config: ConfigLoader.load(file: RunDirectory.configPath(of: path)).config)
  }

  /// The network and weights of an ONNX file.
  package init(onnx path: String) throws {
    self.init(try ExportedModel(onnx: path), path: path, story: "as the file has it", config: nil)
  }

  /// A network of the zoo with the weights of a file, whose last layer says how many classes there are.
  ///
  /// - Parameter size: height and width of the images; nil for those that the network was made for.
  package init(model name: String, weights path: String, size: Int?, channels: Int?) throws {
    let entry = try ModelZoo.entry(named: name)
    var config = RunConfig()
    config.model.name = name
    config.data.image.size = size ?? entry.input.height
    config.data.image.channels = channels ?? entry.input.channels
    guard [1, 3].contains(config.data.image.channels) else {
      throw LessonError("images have 1 or 3 channels, not \(config.data.image.channels)")
    }
    let head =
      try config.network(classes: 8).nodes.last { !$0.parameters.isEmpty }?.parameters.first?.name ?? ""
    let file = try WeightsFile(path: path)
    guard let classes = file.arrays.first(where: { $0.name == head })?.shape.dimensions.first else {
      throw LessonError(
        "\(path) has no array \(head), so it doesn't hold weights of \(name) by torchvision's names")
    }
    self.init(
      try ExportedModel(config, classes: classes, weights: path), path: path,
      story: "with the weights of the file", config: nil)
  }

  private init(_ exported: ExportedModel, path: String, story: String, config: RunConfig?) {
    (self.path, self.story, self.config) = (path, story, config)
    (model, network, values, remarks) = (exported.model, exported.network, exported.values, exported.remarks)
    let count = exported.network.classes
    classes = exported.classes.count == count ? exported.classes : (0..<count).map { "class \($0)" }
    let channels = network.input.channels
    preparation = ImagePreparation(
      channels: channels, size: network.input.height, shorterSide: exported.preparation?.resizedSide)
    // A file of weights doesn't say how images are normalised: as torchvision does it.
    let (mean, deviation): ([Float], [Float]) =
      channels == 3 ? ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) : ([0.449], [0.226])
    normalisation = Normalisation(
      mean: exported.preparation?.mean ?? mean, deviation: exported.preparation?.deviation ?? deviation)
  }

  /// An image as the network is given it, (1, C, H, W), and as people see it.
  func prepared(_ image: PixelImage, named name: String) throws -> (input: Batch, seen: PixelImage) {
    let kept = try preparation.apply(to: image, named: name)
    let pipeline = ImagePipeline(
      preparation: preparation, normalisation: normalisation, augmentation: Augmentation(), seed: 0)
    let (side, channels) = (preparation.size, preparation.channels)
    let target = FloatBuffer(count: channels * side * side)
    pipeline.place(kept, pipeline.centreView(of: kept), into: target.pointer, number: 0, of: 1)
    return (Batch([1, channels, side, side], Array(target.values.prefix(channels * side * side))), kept)
  }
}
