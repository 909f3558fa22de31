import Layers
import Models

extension LessonTopic {
  static let parameters = LessonTopic(
    name: "parameters", sentence: "How many weights a layer of units needs, and what sharing them saves.",
    make: ParametersLesson.make)
}

/// Fully connected layers beside convolutions that see as much.
enum ParametersLesson {
  /// Weights of a layer whose every unit reads every pixel, biases left out.
  static func dense(_ image: FeatureShape, units: Int) -> Int {
    weights(Linear(outputFeatures: units), [image])
  }

  static func weights(_ layer: any Layer, _ inputs: [FeatureShape]) -> Int {
    layer.parameters(for: inputs).first { $0.role == .weight }?.shape.count ?? 0
  }

  /// 3×3 convolutions of 64 channels in steps of 2, one after another, until a unit sees the whole image: their
  /// number and their weights.
  static func pyramid(_ image: FeatureShape) throws -> (layers: Int, weights: Int) {
    var (reach, step, layers, weights, shape) = (1, 1, 0, 0, image)
    let layer = Conv2d(outputChannels: 64, kernel: 3, stride: 2, padding: .explicit(1), bias: false)
    while reach < max(image.height, image.width) {
      weights += Self.weights(layer, [shape])
      shape = try layer.outputShape(of: [shape])
      reach += 2 * step
      step *= 2
      layers += 1
    }
    return (layers, weights)
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    var images = [
      ("28×28 grey", FeatureShape(channels: 1, height: 28, width: 28)),
      ("224×224 RGB", FeatureShape(channels: 3, height: 224, width: 224)),
      ("1024×1024 RGB", FeatureShape(channels: 3, height: 1024, width: 1024)),
    ]
    let units = input.units ?? 1000
    if let side = input.size {
      let channels = input.channels ?? 3
      images.append(
        (
          "\(side)×\(side), \(channels) channel\(channels == 1 ? "" : "s")",
          FeatureShape(channels: channels, height: side, width: side)
        ))
    }
    var rows = [["image", "every unit reads all", "memory", "3×3, shared", "memory", "layers"]]
    var (bars, dense, shared): ([BarChart.Bar], [Double], [Double]) = ([], [], [])
    for (name, image) in images {
      let all = Self.dense(image, units: units)
      let (layers, few) = try pyramid(image)
      rows.append([name, Figures.grouped(all), memory(all), Figures.grouped(few), memory(few), "\(layers)"])
      bars.append(
        .init("\(name): all to \(Figures.grouped(units)) units", Double(all), text: Figures.grouped(all)))
      bars.append(
        .init("\(name): \(layers) convolutions", Double(few), text: Figures.grouped(few), series: 1))
      dense.append(Double(all))
      shared.append(Double(few))
    }
    let (name, network) = try input.network()
    let parts = network.nodes.filter { !$0.parameters.isEmpty }.map { node in
      (name: node.name, count: node.parameters.reduce(0) { $0 + $1.shape.count })
    }
    let largest = parts.sorted { $0.count > $1.count }.prefix(12).map(\.name)
    let layers = parts.filter { largest.contains($0.name) }
    return Lesson(
      """
      A unit that reads every pixel needs a weight for each: \(Figures.grouped(units)) of them need
      height × width × channels × \(Figures.grouped(units)). A convolution has the same few weights at every place, and a
      pile of 3×3 convolutions in steps of 2 (64 channels) sees the whole image, too:

      \(LessonText.table(rows))

      \(name), for images \(network.input): \(Figures.grouped(network.layout.parameterCount)) parameters, \
      \(memory(network.layout.parameterCount)).
      """,
      Figure(
        "Parameters: what sharing weights saves",
        [
          BarChart("Weights (the scale is logarithmic)", bars, isLogarithmic: true, width: 860),
          BarChart(
            "\(name): \(Figures.grouped(network.layout.parameterCount)) parameters, by layer\(layers.count < parts.count ? ", the largest" : "")",
            layers.map { .init($0.name, Double($0.count), text: Figures.grouped($0.count), series: 2) },
            width: 860),
        ]),
      numbers: ["dense": dense, "shared": shared, "network": [Double(network.layout.parameterCount)]])
  }

  /// As fp32.
  private static func memory(_ weights: Int) -> String {
    let bytes = weights * MemoryLayout<Float>.stride
    return bytes < 10_000_000
      ? "\(Figures.grouped((bytes + 500) / 1000)) kB" : "\(Figures.grouped((bytes + 500_000) / 1_000_000)) MB"
  }
}
