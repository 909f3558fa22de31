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
}

enum FilterLesson {
  static func make(_ input: LessonInput) throws -> Lesson {
    let run = try input.trainedRun(for: "filters")
    guard let node = run.network.nodes.first(where: { $0.layer is Conv2d }), let entry = node.parameters.first
    else { throw LessonError("\(run.path): \(run.model) has no convolution to show") }
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
      \(run.model) \(run.story).
      Each is scaled to its own range. Filters with light and dark sides answer to edges, blobs to spots, and coloured ones
      to stains. Random specks say that a filter has hardly moved from where it began.

      deviation of a filter's weights: \(LessonText.number(deviations.min() ?? 0)) to \(LessonText.number(deviations.max() ?? 0))
      """,
      Figure(
        "Filters of \(node.name), \(run.model)",
        [
          ImageMontage(
            depth == 3 ? "In the colours that they answer to" : "Input channel 1", first, columns: 16,
            side: 46),
          HeatMap(
            "Filter 1, input channel 1", weights.prefix(area).map(Double.init), columns: columns, digits: 2,
            cell: 44),
        ], caption: "\(run.path), \(run.story)."),
      numbers: ["first_filter": weights.prefix(area).map(Double.init), "deviations": deviations])
  }

  static func first(
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
    let probabilities = try SoftmaxLesson.softmax(outputs.last?.doubles ?? [], engine: input.engine)
    let ranked = zip(run.classes, probabilities).sorted { $0.1 > $1.1 }
    let rows = ranked.prefix(5).map { "  \($0.0): \(LessonText.number($0.1, 3))" }
    return Lesson(
      """
      \(run.path) looks at \(input.imageName). Of each layer the channels that vary most are shown: first edges and
      stains at full size, later coarse answers to whole parts, until a vector is left that the last layer reads.

      what it says:
      \(rows.joined(separator: "\n"))
      """,
      Figure(
        "What \(run.model) sees",
        [
          ImageMontage("The image", [.init(Raster(seen), input.imageName)], columns: 1, side: 150),
          BarChart(
            "What it says",
            ranked.prefix(6).map { .init($0.0, $0.1, text: LessonText.number($0.1, 3)) }, width: 410),
        ] + maps, caption: "Each channel in grey over its own range."),
      numbers: ["probabilities": probabilities])
  }
}
