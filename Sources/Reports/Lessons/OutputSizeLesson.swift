import Layers
import Models
import Tensors

extension LessonTopic {
  static let outputSize = LessonTopic(
    name: "output-size", sentence: "How large the output of a convolution is, and how much a unit sees.",
    make: OutputSizeLesson.make)
}

/// O = ⌊(W + 2P − D·(K − 1) − 1) / S⌋ + 1 beside the shape that the engine gives.
enum OutputSizeLesson {
  struct Setting {
    var name: String
    var size = 7
    var kernel = 3
    var stride = 1
    var padding = 0
    var dilation = 1

    var layer: Conv2d {
      Conv2d(
        outputChannels: 1, kernel: Size2D(kernel), stride: Size2D(stride),
        padding: .explicit(Size2D(padding)),
        dilation: Size2D(dilation), bias: false)
    }
    var formula: Int { (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1 }
    var words: String { "K \(kernel), S \(stride), P \(padding), D \(dilation)" }
  }

  /// The chapter's, and one that is asked for.
  static func settings(_ input: LessonInput) -> [Setting] {
    var settings = [
      Setting(name: "default"), Setting(name: "stride 2", stride: 2), Setting(name: "padding 1", padding: 1),
      Setting(name: "kernel 5", kernel: 5), Setting(name: "dilation 2", dilation: 2),
    ]
    let asked = [input.size, input.kernel, input.stride, input.padding, input.dilation]
    if asked.contains(where: { $0 != nil }) {
      settings.append(
        Setting(
          name: "yours", size: input.size ?? 7, kernel: input.kernel ?? 3, stride: input.stride ?? 1,
          padding: input.padding ?? 0, dilation: input.dilation ?? 1))
    }
    return settings
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    if let size = input.size, size > 2048 {
      throw LessonError("output-size runs images of at most 2048 pixels on a side, got \(size)")
    }
    var (panels, rows, sides): ([any Panel], [[String]], [Double]) = (
      [], [["setting", "W", "K", "S", "P", "D", "formula", "engine"]], []
    )
    for setting in settings(input) {
      let x = Batch(
        [1, 1, setting.size, setting.size], Array(repeating: 1, count: setting.size * setting.size))
      let ones = Tensor(
        shape: [1, 1, setting.kernel, setting.kernel],
        values: Array(repeating: 1, count: setting.kernel * setting.kernel))
      let y = try input.engine.forward(setting.layer, x, parameters: [ones])
      sides.append(Double(y.shape[2]))
      rows.append(
        [
          setting.name, "\(setting.size)", "\(setting.kernel)", "\(setting.stride)", "\(setting.padding)",
          "\(setting.dilation)", "\(setting.formula)", "\(y.shape[2])",
        ])
      panels.append(
        HeatMap(
          "\(setting.name): \(setting.size) → \(y.shape[2])", y.channel(0), columns: y.shape[3],
          scale: .sequential(0...Double(setting.kernel * setting.kernel)),
          cell: min(22, 220 / Double(y.shape[3])),
          note: setting.words))
    }
    let (name, network) = try input.network()
    let fields = ReceptiveField.of(network)
    let shown = network.nodes.indices.filter { fields[$0].grows && network.nodes[$0].shape.area > 1 }
    panels.append(TablePanel("The formula and the engine", rows))
    // At most seven layers, evenly over the depth.
    let framed = shown.count <= 7 ? shown : (0..<7).map { shown[$0 * (shown.count - 1) / 6] }
    panels.append(
      ImageMontage(
        "What a unit of \(name) sees of \(input.imageName), layer by layer",
        framed.map { index in
          .init(
            Raster(input.image), network.nodes[index].name,
            square: Double(fields[index].side) / Double(network.input.height))
        }, columns: 7, side: 112))
    panels.append(
      BarChart(
        "Receptive field of \(name): input pixels that a unit sees, on a side",
        shown.map { index in
          let field = fields[index]
          return .init(
            network.nodes[index].name, Double(field.side), text: "\(field.side), every \(field.step)")
        }))
    let last = fields[shown.last ?? 0]
    return Lesson(
      """
      A kernel of K pixels fits into an input of W at W − K + 1 places. Padding P adds room on both sides,
      a stride S takes every S-th place, a dilation D spreads the kernel over D·(K − 1) + 1 pixels:

        O = ⌊(W − K + 2P) / S⌋ + 1          with dilation   O = ⌊(W + 2P − D·(K − 1) − 1) / S⌋ + 1

      \(LessonText.table(rows))

      Layer by layer a unit sees more of the input: r ← r + (K − 1)·D·j, and j ← j·S, with r = j = 1 at the
      input. In \(name) a unit of \(shown.last.map { network.nodes[$0].name } ?? "the input") sees \
      \(last.side) pixels on a side.
      """,
      Figure(
        "Output size", panels,
        caption: "Each cell is an output; its number says how many pixels of the input the kernel met there."),
      numbers: ["sides": sides, "receptive_fields": fields.map { Double($0.side) }])
  }
}

/// How many pixels of the input a unit of a layer sees on a side, and how far apart neighbours' views are.
struct ReceptiveField {
  var side = 1
  var step = 1
  /// Whether the layer itself widens the view.
  var grows = false

  /// Of each node; where branches join, the widest.
  static func of(_ network: Network) -> [ReceptiveField] {
    var fields: [ReceptiveField] = []
    for node in network.nodes {
      let sources = node.inputs.map { source -> ReceptiveField in
        guard case .node(let index) = source else { return ReceptiveField() }
        return fields[index]
      }
      var field = sources.max { $0.side < $1.side } ?? ReceptiveField()
      field.grows = false
      if let (kernel, stride, dilation) = window(of: node.layer) {
        field.side += dilation * (kernel - 1) * field.step
        field.step *= stride
        field.grows = kernel > 1
      }
      fields.append(field)
    }
    return fields
  }

  private static func window(of layer: any Layer) -> (kernel: Int, stride: Int, dilation: Int)? {
    func of(_ window: PoolingWindow) -> (Int, Int, Int) {
      (window.kernel.height, window.stride.height, window.dilation.height)
    }
    switch layer {
    case let layer as Conv2d: return (layer.kernel.height, layer.stride.height, layer.dilation.height)
    case let layer as MaxPool2d: return of(layer.window)
    case let layer as AvgPool2d: return of(layer.window)
    default: return nil
    }
  }
}
