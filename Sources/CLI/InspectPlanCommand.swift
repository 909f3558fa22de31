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
      where its output lies in a lane's arena; a second place where it is computed again on the way back.

      Examples:
        cnn-dist inspect plan resnet18 --size 64 --images 64
        cnn-dist inspect plan resnet18 --freeze all_but_head
        CNN_DIST_ISA=avx2 cnn-dist inspect plan --config configs/blood-cells-seed-cnn.yaml --json
      """)

  @OptionGroup var model: InspectedModel
  @Option(help: "Images of a wave (default: a microbatch).") var images: Int?
  @Option(help: "none or blocks: training.activation_checkpointing (default: none, or the configuration's).")
  var activationCheckpointing: ActivationCheckpointing?

  @Option(
    help:
      "What is frozen, as transfer.freeze: all_but_head, a number of blocks, or patterns with commas between."
  )
  var freeze: FrozenLayers?

  func validate() throws { try InspectedModel.requirePositive(("images", images)) }

  func run() throws {
    try Program.runAlone {
      var (settings, network) = try model.network()
      if let freeze { settings.transfer.freeze = freeze }
      network = try network.frozen(by: settings.transfer)
      let kernels = try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      try model.show(
        PlanInspection(
          settings.modelName, network.fused(), images: images ?? settings.training.microbatch,
          checkpointing: activationCheckpointing ?? settings.training.activationCheckpointing,
          kernels: kernels))
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
    /// Bytes from the beginning of the arena, after forward and as backward sees it.
    let outputOffset: Int
    let lateOutputOffset: Int
    let isRepeated: Bool

    enum CodingKeys: String, CodingKey {
      case name, kind, algorithms, layout, flops
      case outputBytes = "output_bytes"
      case savedBytes = "saved_bytes"
      case preparedBytes = "prepared_bytes"
      case scratchBytes = "scratch_bytes"
      case outputOffset = "output_offset"
      case lateOutputOffset = "late_output_offset"
      case isRepeated = "is_repeated"
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
  /// Of the parameters that are not frozen.
  let trainedBytes: Int

  enum CodingKeys: String, CodingKey {
    case model, isa, images, operators
    case arenaBytes = "arena_bytes"
    case scratchBytes = "scratch_bytes"
    case preparedBytes = "prepared_bytes"
    case parameterBytes = "parameter_bytes"
    case trainedBytes = "trained_bytes"
  }

  init(
    _ model: String, _ network: Network, images: Int, checkpointing: ActivationCheckpointing = .none,
    kernels: InstructionSet
  ) {
    let plan = Plan(
      network, images: images, mode: .training, checkpointing: checkpointing, kernels: kernels)
    let float = MemoryLayout<Float>.stride
    self.model = model
    self.images = images
    isa = kernels.rawValue
    operators = network.nodes.enumerated().map { index, node in
      let needs = node.memoryNeeds(images: images, kernels: kernels)
      let algorithms = node.layer.algorithms(for: node.inputShapes, kernels: kernels)
      // Backward data costs as much as forward, where anybody wants it, and so do the parameters.
      let isRepeated = plan.repeated.contains(index)
      let passes =
        (isRepeated ? 2 : 1) + (plan.gradientTargets[index].allSatisfy { $0 == .none } ? 0 : 1)
        + (node.isTrained ? 1 : 0)
      return Operator(
        name: node.name, kind: node.layer.kind, algorithms: algorithms,
        layout: node.shape.area == 1 ? "(F/16, N, 16)" : "(C/16, N, H, W, 16)",
        flops: 2 * passes * images * node.layer.multiplyAdds(for: node.inputShapes),
        outputBytes: float * images * node.shape.blockedCount,
        savedBytes: float * (needs.savedPerImage * images + needs.savedPerMicrobatch),
        preparedBytes: float * needs.prepared, scratchBytes: float * needs.scratch,
        outputOffset: float * plan.outputs[index], lateOutputOffset: float * plan.lateOutputs[index],
        isRepeated: isRepeated)
    }
    arenaBytes = float * plan.arenaCount
    scratchBytes = float * plan.scratchCount
    preparedBytes = float * PreparedWeights.count(for: network, mode: .training, kernels: kernels)
    parameterBytes =
      float * network.layout.entries.reduce(0) { $0 + ($1.role.isStatistic ? 0 : $1.range.count) }
    trainedBytes = float * network.layout.parameterExtent
  }

  var text: String {
    func kilobytes(_ bytes: Int) -> String { Figures.grouped((bytes + 999) / 1000) }
    let rows = operators.map { one in
      [
        one.name, one.kind, one.algorithms.joined(separator: " / "), one.layout,
        Figures.grouped(one.flops / 1_000_000), kilobytes(one.outputBytes), kilobytes(one.savedBytes),
        kilobytes(one.preparedBytes), kilobytes(one.scratchBytes),
        kilobytes(one.outputOffset) + (one.isRepeated ? ", \(kilobytes(one.lateOutputOffset))" : ""),
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
      \(kilobytes(preparedBytes)) kB, parameters \(kilobytes(parameterBytes)) kB, of which \
      \(kilobytes(trainedBytes)) kB are trained
      """
  }
}

extension FrozenLayers: ExpressibleByArgument {}
