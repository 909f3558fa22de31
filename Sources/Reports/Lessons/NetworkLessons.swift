import CellData
import Layers
import Models
import Tensors

extension LessonTopic {
  static let filters = LessonTopic(
    name: "filters", sentence: "The first filters that a trained network has learned.", needsRun: true,
    make: FilterLesson.make)
  static let features = LessonTopic(
    name: "features", sentence: "What each layer of a trained network sees in a cell.", needsRun: true,
    make: FeatureLesson.make)
  static let architectures = LessonTopic(
    name: "architectures", sentence: "The networks of the zoo: size, work, and how they are wired.",
    make: ArchitectureLesson.make)
  static let transfer = LessonTopic(
    name: "transfer", sentence: "What stays frozen and what learns when a network is put to new classes.",
    make: TransferLesson.make)
}

enum FilterLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let run = try input.trainedRun(for: "filters")
    guard let node = run.network.nodes.first(where: { $0.layer is Conv2d }), let entry = node.parameters.first
    else { throw LessonError("\(run.path): \(run.config.modelName) has no convolution to show") }
    let weights = entry.array(in: run.values.pointer)
    let shape = entry.shape.dimensions
    let (count, depth, rows, columns) = (shape[0], shape[1], shape[2], shape[3])
    let area = rows * columns
    let deviations = (0..<count).map { filter in
      LessonText.variance(weights[(filter * depth * area)..<((filter + 1) * depth * area)].map(Double.init))
        .squareRoot()
    }
    let shown = min(count, 64)
    let first = FilterLesson.first(weights, shown: shown, depth: depth, rows: rows, columns: columns)
    return Lesson(
      """
      \(run.path): the \(count) filters of \(node.name), \(rows)×\(columns) over \(depth) channel\(depth == 1 ? "" : "s"), \
      as training left them after \(run.checkpoint.epoch) epoch\(run.checkpoint.epoch == 1 ? "" : "s").
      Each is scaled to its own range. Filters with light and dark sides answer to edges, blobs to spots, and coloured ones
      to stains. Random specks say that a filter has hardly moved from where it began.

      deviation of a filter's weights: \(LessonText.number(deviations.min() ?? 0)) to \(LessonText.number(deviations.max() ?? 0))
      """,
      Figure(
        "Filters of \(node.name), \(run.config.modelName)",
        [
          ImageMontage(
            depth == 3 ? "In the colours that they answer to" : "Input channel 1", first, columns: 16,
            side: 46),
          HeatMap(
            "Filter 1, input channel 1", weights.prefix(area).map(Double.init), columns: columns, digits: 2,
            cell: 44),
        ], caption: "\(run.path), step \(run.checkpoint.step)."),
      numbers: ["first_filter": weights.prefix(area).map(Double.init), "deviations": deviations])
  }

  private static func first(
    _ weights: [Float], shown: Int, depth: Int, rows: Int, columns: Int
  ) -> [ImageMontage.Item] {
    let area = rows * columns
    return (0..<shown).map { filter in
      let values = Array(weights[(filter * depth * area)..<((filter + 1) * depth * area)])
      guard depth == 3, let low = values.min(), let high = values.max(), high > low else {
        let plane = values.prefix(area).map(Double.init)
        return .init(Raster(plane, width: columns, scale: .grey(over: plane), theme: .light))
      }
      let bytes = (0..<area).flatMap { place in
        (0..<3).map { channel -> UInt8 in
          let share = (values[channel * area + place] - low) / (high - low)
          return UInt8((share * 255).rounded())
        }
      }
      return .init(Raster(PixelImage(width: columns, height: rows, channels: 3, bytes: bytes)))
    }
  }
}

enum FeatureLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let run = try input.trainedRun(for: "features")
    let (image, seen) = try run.prepared(input.image, named: input.imageName)
    let outputs = try input.engine.outputs(of: run.network, values: run.values, image: image)
    let spatial = run.network.nodes.indices.filter {
      run.network.nodes[$0].shape.area > 1 && outputs[$0].shape[2] > 1
    }
    // At most eight layers, evenly over the depth.
    let chosen =
      spatial.count <= 8 ? spatial : (0..<8).map { spatial[$0 * (spatial.count - 1) / 7] }
    let maps = chosen.map { index -> any Panel in
      let output = outputs[index]
      let strongest = (0..<output.shape[1]).map { ($0, LessonText.variance(output.channel($0))) }
        .sorted { $0.1 > $1.1 }.prefix(8).map(\.0)
      let node = run.network.nodes[index]
      return ImageMontage(
        "\(node.name) · \(node.layer.kind) · \(output.shape[1]) channels of \(output.shape[2])×\(output.shape[3])",
        strongest.map { channel in
          let plane = output.channel(channel)
          return .init(
            Raster(plane, width: output.shape[3], scale: .grey(over: plane), theme: .light),
            "channel \(channel)")
        }, columns: 8, side: 88)
    }
    let probabilities = SoftmaxLesson.softmax(outputs.last?.doubles ?? [], engine: input.engine)
    let ranked = zip(run.checkpoint.classes, probabilities).sorted { $0.1 > $1.1 }
    let rows = ranked.prefix(5).map { "  \($0.0): \(LessonText.number($0.1, 3))" }
    return Lesson(
      """
      \(run.path) looks at \(input.imageName). Of each layer the channels that vary most are shown: first edges and
      stains at full size, later coarse answers to whole parts, until a vector is left that the last layer reads.

      what it says:
      \(rows.joined(separator: "\n"))
      """,
      Figure(
        "What \(run.config.modelName) sees",
        [
          ImageMontage("The image", [.init(Raster(seen), input.imageName)], columns: 1, side: 150),
          BarChart(
            "What it says",
            ranked.prefix(6).map { .init($0.0, $0.1, text: LessonText.number($0.1, 3)) }, width: 410),
        ] + maps, caption: "Each channel in grey over its own range."),
      numbers: ["probabilities": probabilities])
  }
}

enum ArchitectureLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let (side, channels) = (input.size ?? 64, input.channels ?? 3)
    let shape = FeatureShape(channels: channels, height: side, width: side)
    var rows = [["model", "layers", "parameters", "multiply-adds"]]
    var (series, words, sizes): ([Chart.Series], [String], [Double]) = ([], [], [])
    for entry in ModelZoo.entries {
      words.append("  \(entry.name): \(entry.summary)")
      guard let network = try? ModelZoo.network(entry.name, input: shape, options: .init(classes: 8)) else {
        rows.append([entry.name, "needs other images", "–", "–"])
        continue
      }
      let (parameters, work) = (network.layout.parameterCount, network.multiplyAdds)
      rows.append(
        [entry.name, "\(network.nodes.count)", Figures.grouped(parameters), Figures.grouped(work)])
      series.append(.init(entry.name, [Point(Double(parameters), Double(work))], style: .points))
      sizes.append(Double(parameters))
    }
    let (name, network) = try input.network()
    return Lesson(
      """
      The networks that `train --set model.name=…` knows, for \(side)×\(side) images of \(channels) channel\(channels == 1 ? "" : "s") and 8 classes.
      Parameters are memory, and what ranks send; multiply-adds are time.

      \(LessonText.table(rows))

      \(words.joined(separator: "\n"))
      """,
      Figure(
        "Architectures",
        [
          Chart(
            "Parameters against work", series, x: Axis("parameters", .logarithmic),
            y: Axis("multiply-adds of an image", .logarithmic), width: 846, height: 360),
          TablePanel("\(side)×\(side), 8 classes", rows), BoxGraph(name, boxes(of: network)),
        ], caption: "Arrows at the side pass over layers: residuals and branches."),
      numbers: ["parameters": sizes])
  }

  /// The graph without the layers that only bend values, which follow almost everywhere.
  static func boxes(of network: Network) -> [BoxGraph.Box] {
    var place: [Int: Int] = [:]
    var boxes = [BoxGraph.Box("image", note: "\(network.input)")]
    for (index, node) in network.nodes.enumerated() {
      let sources = node.inputs.map { source -> Int in
        guard case .node(let from) = source else { return 0 }
        return place[from] ?? 0
      }
      let isSmall = ["BatchNorm2d", "ReLU", "Flatten", "Dropout"].contains(node.layer.kind)
      if isSmall, let only = sources.first, sources.count == 1 {
        place[index] = only
        continue
      }
      place[index] = boxes.count
      boxes.append(
        .init(
          node.name, note: "\(node.layer.kind) \(node.shape)", inputs: Array(Set(sources)).sorted(),
          series: node.parameters.isEmpty ? nil : 0))
    }
    return boxes
  }
}

enum TransferLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let (name, network) = try input.network()
    let parts = network.nodes.filter { !$0.parameters.isEmpty }.map { node in
      (name: node.name, count: node.parameters.reduce(0) { $0 + $1.shape.count })
    }
    guard let head = parts.last else { throw LessonError("\(name) has no layer that learns") }
    let all = network.layout.parameterCount
    // Stages are what stands before the first point of a name: layer1, block2, …
    var stages: [(name: String, count: Int)] = []
    for part in parts {
      let stage = part.name.split(separator: ".").first.map(String.init) ?? part.name
      if let last = stages.last, last.name == stage {
        stages[stages.count - 1].count += part.count
      } else {
        stages.append((stage, part.count))
      }
    }
    func share(_ count: Int) -> String { LessonText.number(100 * Double(count) / Double(all), 1) + " %" }
    let choices = [
      ("only the head (\(head.name))", head.count),
      ("head and last stage", head.count + (stages.dropLast().last?.count ?? 0)), ("everything", all),
    ]
    return Lesson(
      """
      A network that has learned from many images has filters that serve other images, too. For new classes its head is
      replaced, and then more or less of the rest learns on: the fewer images there are, the less.

      \(LessonText.table([["what learns", "parameters", "of all"]] + choices.map { [$0.0, Figures.grouped($0.1), share($0.1)] }))

      Frozen layers need no gradients: neither backward nor the exchange between ranks has work with them.
      """,
      Figure(
        "Transfer: \(name)",
        [
          BarChart(
            "Parameters by stage; the head is new",
            stages.map {
              .init(
                $0.name, Double($0.count), text: "\(Figures.grouped($0.count)) (\(share($0.count)))",
                series: $0.name == head.name ? 1 : 0)
            }, width: 846),
          BarChart(
            "What learns",
            choices.map {
              .init($0.0, Double($0.1), text: "\(Figures.grouped($0.1)) (\(share($0.1)))", series: 2)
            },
            width: 846),
        ]), numbers: ["all": [Double(all)], "head": [Double(head.count)]])
  }
}
