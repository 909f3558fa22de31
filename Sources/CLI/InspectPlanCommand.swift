import ArgumentParser
import Foundation
import Layers
import Models
import Reports
import Tensors
import Training

/// `cnn-dist inspect plan`: what a network is compiled to.
struct InspectPlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what a network is compiled to: operators, algorithms, flops, memory.",
    discussion: """
      One line an operator, after fusion: its algorithms (forward / backward data / backward weights),
      the layout of its output, floating-point operations of a training step and bytes of a wave, and
      where its output lies in a lane's arena.

      Examples:
        cnn-dist inspect plan resnet18 --size 64 --images 64
        CNN_DIST_ISA=avx2 cnn-dist inspect plan --config configs/blood-cells-seed-cnn.yaml --json
      """)

  @Argument(help: "A model of the zoo.") var name: String?
  @Option(help: "The configuration of a run, whose model to show.") var config: String?
  @Option(help: "Height and width of the images, in pixels (default: 64, or the configuration's).") var size:
    Int?
  @Option(help: "Number of classes (default: as many as the configuration names, or 8).") var classes: Int?
  @Option(help: "Images of a wave (default: a microbatch).") var images: Int?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard (name == nil) != (config == nil) else {
      throw ValidationError("expects a model's name or --config FILE")
    }
    for (option, value) in [("size", size), ("classes", classes), ("images", images)] {
      if let value, value < 1 { throw ValidationError("--\(option) expects at least 1, got \(value)") }
    }
  }

  func run() throws {
    try Program.runAlone {
      var settings = try ConfigLoader.load(file: config).config
      if let name { settings.model.name = name }
      if let size { settings.data.image.size = size }
      let kernels = try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      let named = settings.model.classes.isEmpty ? 8 : settings.model.classes.count
      let found = PlanInspection(
        settings.modelName, try settings.network(classes: classes ?? named).fused(),
        images: images ?? settings.training.microbatch, kernels: kernels)
      try Program.output(json ? JSONOutput.text(found) : found.text)
    }
  }
}

/// A plan for training, operator by operator.
struct PlanInspection: Inspection {
  struct Operator: Encodable {
    let name: String
    let kind: String
    /// Of forward, backward data, backward weights; empty where there is no choice.
    let algorithms: [String]
    let layout: String
    /// Of forward and backward, for the wave: two for each multiply-add.
    let flops: Int
    let outputBytes: Int
    let savedBytes: Int
    let preparedBytes: Int
    let scratchBytes: Int
    /// Bytes from the beginning of the arena.
    let outputOffset: Int

    enum CodingKeys: String, CodingKey {
      case name, kind, algorithms, layout, flops
      case outputBytes = "output_bytes"
      case savedBytes = "saved_bytes"
      case preparedBytes = "prepared_bytes"
      case scratchBytes = "scratch_bytes"
      case outputOffset = "output_offset"
    }
  }

  let model: String
  let isa: String
  let images: Int
  let operators: [Operator]
  let arenaBytes: Int
  let scratchBytes: Int
  /// Shared by the lanes of a rank.
  let preparedBytes: Int
  let parameterBytes: Int

  enum CodingKeys: String, CodingKey {
    case model, isa, images, operators
    case arenaBytes = "arena_bytes"
    case scratchBytes = "scratch_bytes"
    case preparedBytes = "prepared_bytes"
    case parameterBytes = "parameter_bytes"
  }

  init(_ model: String, _ network: Network, images: Int, kernels: InstructionSet) {
    let plan = Plan(network, images: images, mode: .training, kernels: kernels)
    let float = MemoryLayout<Float>.stride
    self.model = model
    self.images = images
    isa = kernels.rawValue
    operators = network.nodes.enumerated().map { index, node in
      let needs = node.layer.memory(for: node.inputShapes, images: images, kernels: kernels)
      let algorithms = node.layer.algorithms(for: node.inputShapes, kernels: kernels)
      // Backward data costs as much as forward, where anybody wants it, and so do the parameters.
      let passes = 1 + (node.inputs == [.image] ? 0 : 1) + (node.parameters.isEmpty ? 0 : 1)
      return Operator(
        name: node.name, kind: node.layer.kind, algorithms: algorithms,
        layout: node.shape.area == 1 ? "(F/16, N, 16)" : "(C/16, N, H, W, 16)",
        flops: 2 * passes * images * node.layer.multiplyAdds(for: node.inputShapes),
        outputBytes: float * images * node.shape.blockedCount,
        savedBytes: float * (needs.savedPerImage * images + needs.savedPerMicrobatch),
        preparedBytes: float * needs.prepared, scratchBytes: float * needs.scratch,
        outputOffset: float * plan.outputs[index])
    }
    arenaBytes = float * plan.arenaCount
    scratchBytes = float * plan.scratchCount
    preparedBytes = operators.reduce(0) { $0 + $1.preparedBytes }
    parameterBytes = float * network.layout.parameterExtent
  }

  var text: String {
    func kilobytes(_ bytes: Int) -> String { Figures.grouped((bytes + 999) / 1000) }
    let rows = operators.map { one in
      [
        one.name, one.kind, one.algorithms.joined(separator: " / "), one.layout,
        Figures.grouped(one.flops / 1_000_000), kilobytes(one.outputBytes), kilobytes(one.savedBytes),
        kilobytes(one.preparedBytes), kilobytes(one.scratchBytes), kilobytes(one.outputOffset),
      ]
    }
    let total = [
      "total", "", "", "", Figures.grouped(operators.reduce(0) { $0 + $1.flops } / 1_000_000), "", "",
      kilobytes(preparedBytes), "", "",
    ]
    let header = [
      "operator", "kind", "algorithms", "layout", "MFLOP", "output kB", "saved kB", "prepared kB",
      "scratch kB", "at kB",
    ]
    return """
      \(model), a wave of \(images) images in training, \(isa)

      \(TextTable.text([header] + rows + [total]))

      a lane: arena \(kilobytes(arenaBytes)) kB, scratch \(kilobytes(scratchBytes)) kB; a rank: prepared weights \
      \(kilobytes(preparedBytes)) kB, parameters \(kilobytes(parameterBytes)) kB
      """
  }
}
