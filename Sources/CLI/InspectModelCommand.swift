import ArgumentParser
import Layers
import Models
import Reports
import Tensors
import Training

/// `cnn-dist inspect model`: the layers of a network.
struct InspectModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model",
    abstract: "Show each layer of a network: shape, parameters, multiply-adds; and its memory.",
    discussion: """
      Models by name: \(ModelZoo.entries.map(\.name).joined(separator: ", ")).

      Examples:
        cnn-dist inspect model resnet18 --size 64 --classes 8
        cnn-dist inspect model --config configs/blood-cells-resnet18.yaml --json
      """)

  @Argument(help: "A model of the zoo.") var name: String?
  @Option(help: "The configuration of a run, whose model to show.") var config: String?
  @Option(help: "Height and width of the images, in pixels (default: 64, or the configuration's).") var size:
    Int?
  @Option(help: "Channels of the images (default: 3, or the configuration's).") var channels: Int?
  @Option(help: "Number of classes (default: as many as the configuration names, or 8).") var classes: Int?
  @Option(help: "Images in a microbatch (default: 16, or the configuration's).") var microbatch: Int?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard (name == nil) != (config == nil) else {
      throw ValidationError("expects a model's name or --config FILE")
    }
    for (option, value) in [
      ("size", size), ("channels", channels), ("classes", classes), ("microbatch", microbatch),
    ] {
      if let value, value < 1 { throw ValidationError("--\(option) expects at least 1, got \(value)") }
    }
  }

  func run() throws {
    try Program.runAlone {
      let found = try inspect()
      try Program.output(json ? JSONOutput.text(found) : found.text)
    }
  }

  func inspect() throws -> ModelInspection {
    var settings = try ConfigLoader.load(file: config).config
    if let name { settings.model.name = name }
    if let size { settings.data.image.size = size }
    if let channels { settings.data.image.channels = channels }
    let named = settings.model.classes.isEmpty ? 8 : settings.model.classes.count
    return ModelInspection(
      settings.modelName, try settings.network(classes: classes ?? named),
      microbatch: microbatch ?? settings.training.microbatch)
  }
}

/// What a network consists of, and what training it takes.
struct ModelInspection: Inspection {
  struct Layer: Encodable {
    let name: String
    let kind: String
    /// Channels, height, width.
    let output: [Int]
    let parameters: Int
    let multiplyAdds: Int

    enum CodingKeys: String, CodingKey {
      case name, kind, output, parameters
      case multiplyAdds = "multiply_adds"
    }
  }

  let model: String
  let input: [Int]
  let classes: Int
  let layers: [Layer]
  let parameters: Int
  /// Of a forward pass of one image.
  let multiplyAdds: Int
  let microbatch: Int
  /// Activations, saved values and gradients of activations of a microbatch in training.
  let activationBytes: Int
  /// Working memory of a lane, for whichever layer needs most.
  let scratchBytes: Int

  enum CodingKeys: String, CodingKey {
    case model, input, classes, layers, parameters, microbatch
    case multiplyAdds = "multiply_adds"
    case activationBytes = "activation_bytes"
    case scratchBytes = "scratch_bytes"
  }

  init(_ model: String, _ network: Network, microbatch: Int) {
    // Fused, as training runs it; the layers are shown as they were written.
    let plan = Plan(network.fused(), images: microbatch, mode: .training, kernels: .detected)
    self.model = model
    self.microbatch = microbatch
    input = Self.extents(network.input)
    classes = network.classes
    layers = network.nodes.map { node in
      Layer(
        name: node.name, kind: node.layer.kind, output: Self.extents(node.shape),
        parameters: node.parameters.reduce(0) { $0 + $1.shape.count },
        multiplyAdds: node.layer.multiplyAdds(for: node.inputShapes))
    }
    parameters = network.layout.parameterCount
    multiplyAdds = network.multiplyAdds
    activationBytes = plan.arenaCount * MemoryLayout<Float>.stride
    scratchBytes = plan.scratchCount * MemoryLayout<Float>.stride
  }

  private static func extents(_ shape: FeatureShape) -> [Int] { [shape.channels, shape.height, shape.width] }

  private static func text(_ extents: [Int]) -> String {
    "(\(extents.map(String.init).joined(separator: ", ")))"
  }

  var text: String {
    let rows = layers.map { layer in
      [
        layer.name, layer.kind, Self.text(layer.output), Figures.grouped(layer.parameters),
        Figures.grouped(layer.multiplyAdds),
      ]
    }
    let total = ["total", "", "", Figures.grouped(parameters), Figures.grouped(multiplyAdds)]
    let header = ["layer", "kind", "output", "parameters", "multiply-adds"]
    return """
      \(model) for images \(Self.text(input)) and \(classes) classes

      \(TextTable.text([header] + rows + [total]))

      weights: \(Self.megabytes(parameters * MemoryLayout<Float>.stride))
      activations of a microbatch of \(microbatch) in training: \(Self.megabytes(activationBytes)), and \
      \(Self.megabytes(scratchBytes)) of scratch in each lane
      """
  }

  private static func megabytes(_ bytes: Int) -> String { "\((Double(bytes) / 1e5).rounded() / 10) MB" }
}
