import Layers
import Models

extension LessonTopic {
  static let architectures = LessonTopic(
    name: "architectures", sentence: "The networks of the zoo: papers, size, work, and how they are wired.",
    make: ArchitectureLesson.make)
}

enum ArchitectureLesson {
  /// Networks of one paper.
  struct Family {
    let name: String
    var members: [ModelZoo.Entry]
  }

  /// In the order of the zoo.
  static let families: [Family] = {
    var groups: [(title: String, members: [ModelZoo.Entry])] = []
    for entry in ModelZoo.entries {
      let title = entry.paper?.title ?? entry.name
      if let known = groups.firstIndex(where: { $0.title == title }) {
        groups[known].members.append(entry)
      } else {
        groups.append((title, [entry]))
      }
    }
    return groups.map { Family(name: name(of: $0.members.map(\.name)), members: $0.members) }
  }()

  /// What the names begin with in common: `resnet` of resnet18, resnet34, …
  private static func name(of names: [String]) -> String {
    guard names.count > 1, var common = names.first else { return names.first ?? "" }
    for name in names { while !name.hasPrefix(common) { common.removeLast() } }
    // Not in the middle of a number, nor after the letter of a series such as b0, b1.
    let isCut = names.contains { $0.dropFirst(common.count).first?.isNumber == true }
    if isCut {
      while common.last?.isNumber == true { common.removeLast() }
      if common.dropLast().last == "_" { common.removeLast() }
    }
    while common.last == "_" { common.removeLast() }
    return common.isEmpty ? names[0] : common
  }

  /// The network at the size that it is talked about; nil where its layers need larger images.
  private static func network(_ entry: ModelZoo.Entry, _ input: LessonInput) -> Network? {
    let shape = FeatureShape(
      channels: input.channels ?? entry.input.channels, height: input.size ?? entry.input.height,
      width: input.size ?? entry.input.width)
    return try? ModelZoo.network(entry.name, input: shape, options: .init(classes: 1000))
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    var rows = [["model", "paper", "year", "images", "layers", "parameters", "multiply-adds"]]
    var (series, graphs, sizes): ([Chart.Series], [Figure], [Double]) = ([], [], [])
    for family in families {
      var points: [(place: Point, name: String)] = []
      for (number, entry) in family.members.enumerated() {
        let (paper, year) = (entry.paper?.authors ?? "this project", entry.paper.map { "\($0.year)" } ?? "–")
        guard let network = network(entry, input) else {
          rows.append([entry.name, paper, year, "larger ones", "–", "–", "–"])
          continue
        }
        let (parameters, work) = (network.layout.parameterCount, network.multiplyAdds)
        let images = "\(network.input.channels)×\(network.input.height)×\(network.input.width)"
        rows.append(
          [
            entry.name, paper, year, images, "\(network.nodes.count)", Figures.grouped(parameters),
            Figures.grouped(work),
          ])
        points.append((Point(Double(parameters), Double(work)), entry.name))
        sizes.append(Double(parameters))
        if number == 0 { graphs.append(figure(entry, network)) }
      }
      points.sort { $0.place.x < $1.place.x }
      series.append(
        .init(
          family.name, points.map(\.place), style: .points, labels: points.map(\.name)))
    }
    let (name, network) = try input.network()
    return Lesson(
      """
      The networks that `train --set model.name=…` knows, for the images that they were made for and 1,000 classes
      (--size N, --channels N: for others). Parameters are memory, and what ranks send; multiply-adds are time.

      \(LessonText.table(rows))

      \(ModelZoo.entries.map { "  \($0.name): \($0.summary)" }.joined(separator: "\n"))

      Below the table stands \(name); --model NAME draws another, and the web site (explain all) one of each paper.
      """,
      Figure(
        "Architectures",
        [
          Chart(
            "Parameters against work", series, x: Axis("parameters", .logarithmic),
            y: Axis("multiply-adds of an image", .logarithmic), width: 860, height: 520),
          TablePanel("The zoo", rows),
        ] + panels(name, network),
        caption:
          "Networks of one paper share a line. In graphs, arrows at the side pass over layers: residuals and branches."
      ),
      numbers: ["parameters": sizes], steps: graphs)
  }

  private static func figure(_ entry: ModelZoo.Entry, _ network: Network) -> Figure {
    let paper = entry.paper.map { paper in
      "\(paper.authors) \(paper.year): \(paper.title)" + (paper.link.map { " (\($0))" } ?? "")
    }
    return Figure(
      "\(entry.name): \(Figures.grouped(network.layout.parameterCount)) parameters, "
        + "\(Figures.grouped(network.multiplyAdds)) multiply-adds",
      panels(entry.name, network), caption: paper ?? "This project's own.")
  }

  /// The whole network by blocks, and the wiring of its first block that branches; a network of few layers whole.
  static func panels(_ name: String, _ network: Network) -> [any Panel] {
    let whole = boxes(of: network, Array(network.nodes.indices))
    if whole.count <= 14 { return [BoxGraph("\(name), layer by layer", whole)] }
    var panels: [any Panel] = [BoxGraph("\(name), by blocks", chain(of: network))]
    if let (prefix, nodes) = branching(of: network) {
      panels.append(BoxGraph("In \(prefix)", boxes(of: network, nodes, within: prefix + ".")))
    }
    return panels
  }

  /// The first block that branches; where none does, the beginning of the first stage in which blocks are joined, as
  /// dense blocks are.
  private static func branching(of network: Network) -> (prefix: String, nodes: [Int])? {
    func joins(_ nodes: [Int]) -> Bool { nodes.contains { network.nodes[$0].inputs.count > 1 } }
    for block in network.blocks {
      let nodes = inside(block.name, of: network)
      if joins(nodes) { return (block.name, nodes) }
    }
    for block in network.blocks {
      let prefix = block.name.split(separator: ".").dropLast().joined(separator: ".")
      let nodes = prefix.isEmpty ? [] : inside(prefix, of: network)
      let ends = nodes.filter { network.nodes[$0].inputs.count > 1 }
      if let last = ends.prefix(3).last { return (prefix, nodes.filter { $0 <= last }) }
    }
    return nil
  }

  /// The nodes of a block, joins and what stands between its layers included.
  private static func inside(_ block: String, of network: Network) -> [Int] {
    network.nodes.indices.filter {
      // A layer scale has the name of its block, as its array has in PyTorch.
      network.nodes[$0].name == block || network.nodes[$0].name.hasPrefix(block + ".")
    }
  }

  /// A run of blocks of one stage that have the same extent.
  private struct Stage {
    let key: String
    var names: [String]
    var shape: FeatureShape
    var joins: String
  }

  /// The name without what tells blocks of one stage apart: `layer1` of layer1.0, `inception` of inception3a,
  /// `features.denseblock1.denselayer` of its sixth layer.
  private static func stage(of block: String) -> String {
    var name = Substring(block)
    if name.last?.isLetter == true, name.dropLast().last?.isNumber == true { name.removeLast() }
    while let last = name.last, last.isNumber || last == "." { name.removeLast() }
    return String(name)
  }

  /// One box for each stage.
  private static func chain(of network: Network) -> [BoxGraph.Box] {
    var stages: [Stage] = []
    for block in network.blocks {
      let nodes = inside(block.name, of: network)
      guard let last = nodes.last else { continue }
      let shape = network.nodes[last].shape
      let kinds = Set(nodes.map { network.nodes[$0].layer.kind })
      let joins = kinds.contains("Concat") ? "branches" : kinds.contains("Add") ? "residual" : ""
      let isHead = block.name == network.blocks.last?.name
      let key = "\(stage(of: block.name)) \(shape.height) \(joins) \(isHead)"
      if let known = stages.last, known.key == key {
        stages[stages.count - 1].names.append(block.name)
        stages[stages.count - 1].shape = shape
      } else {
        stages.append(Stage(key: key, names: [block.name], shape: shape, joins: joins))
      }
    }
    var boxes = [BoxGraph.Box("image", note: shape(network.input))]
    for stage in stages {
      let (first, last) = (stage.names[0], stage.names[stage.names.count - 1])
      let name = first == last ? first : "\(first) – \(last.split(separator: ".").last ?? "")"
      let words = [
        stage.names.count > 1 ? "\(stage.names.count) blocks" : "", stage.joins, shape(stage.shape),
      ]
      boxes.append(
        .init(
          name, note: words.filter { !$0.isEmpty }.joined(separator: " · "), inputs: [boxes.count - 1],
          series: stage.joins.isEmpty ? 0 : stage.joins == "residual" ? 1 : 2))
    }
    return boxes
  }

  private static func shape(_ shape: FeatureShape) -> String {
    shape.area == 1 ? "\(shape.channels)" : "\(shape.channels)×\(shape.height)×\(shape.width)"
  }

  /// A graph of some nodes, without the layers that only bend values, which follow almost everywhere.
  static func boxes(of network: Network, _ nodes: [Int], within prefix: String = "") -> [BoxGraph.Box] {
    var place: [Int: Int] = [:]
    let outside =
      nodes.first.map { node -> FeatureShape in network.nodes[node].inputShapes[0] } ?? network.input
    var boxes = [BoxGraph.Box(nodes.first == 0 ? "image" : "input", note: shape(outside))]
    for index in nodes {
      let node = network.nodes[index]
      let sources = node.inputs.map { source -> Int in
        guard case .node(let from) = source else { return 0 }
        return place[from] ?? 0
      }
      let isSmall = ["BatchNorm2d", "ReLU", "ReLU6", "SiLU", "Hardswish", "GELU", "Flatten", "Dropout"]
        .contains(node.layer.kind)
      if isSmall, let only = sources.first, sources.count == 1 {
        place[index] = only
        continue
      }
      place[index] = boxes.count
      var words = node.layer.kind
      if let layer = node.layer as? Conv2d {
        words =
          "\(layer.kernel.height)×\(layer.kernel.width)"
          + (layer.groups > 1 ? ", \(layer.groups) groups" : "")
      }
      boxes.append(
        .init(
          node.name.hasPrefix(prefix) ? String(node.name.dropFirst(prefix.count)) : node.name,
          note: "\(words) · \(shape(node.shape))", inputs: Array(Set(sources)).sorted(),
          series: node.inputs.count > 1 ? 1 : node.parameters.isEmpty ? nil : 0))
    }
    return boxes
  }
}
