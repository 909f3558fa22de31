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
      `cnn-dist inspect zoo` lists the models that have a name.

      Examples:
        cnn-dist inspect model resnet18 --size 64 --classes 8
        cnn-dist inspect model --config configs/blood-cells-resnet18.yaml --json
      """)

  @OptionGroup var model: InspectedModel
  @Option(help: "Images in a microbatch (default: 16, or the configuration's).") var microbatch: Int?

  func validate() throws { try InspectedModel.requirePositive(("microbatch", microbatch)) }

  func run() throws { try Program.runAlone { try model.show(inspect()) } }

  func inspect() throws -> ModelInspection {
    let (settings, network) = try model.network()
    return ModelInspection(
      settings.modelName, network, microbatch: microbatch ?? settings.training.microbatch,
      checkpointing: settings.training.activationCheckpointing)
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
  /// What is made of the weights once a step, shared by the lanes of a rank.
  let preparedBytes: Int

  enum CodingKeys: String, CodingKey {
    case model, input, classes, layers, parameters, microbatch
    case multiplyAdds = "multiply_adds"
    case activationBytes = "activation_bytes"
    case scratchBytes = "scratch_bytes"
    case preparedBytes = "prepared_bytes"
  }

  init(
    _ model: String, _ network: Network, microbatch: Int, checkpointing: ActivationCheckpointing = .none
  ) {
    // Fused, as training runs it; the layers are shown as they were written.
    let plan = Plan(
      network.fused(), images: microbatch, mode: .training, checkpointing: checkpointing, kernels: .detected)
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
    preparedBytes =
      PreparedWeights.count(for: plan.network, mode: .training, kernels: .detected)
      * MemoryLayout<Float>.stride
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

      weights: \(Self.megabytes(parameters * MemoryLayout<Float>.stride)), and \(Self.megabytes(preparedBytes)) of \
      what is made of them for a step, once a rank
      activations of a microbatch of \(microbatch) in training: \(Self.megabytes(activationBytes)), and \
      \(Self.megabytes(scratchBytes)) of scratch in each lane
      """
  }

  private static func megabytes(_ bytes: Int) -> String { "\((Double(bytes) / 1e5).rounded() / 10) MB" }
}
