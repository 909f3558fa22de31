import Foundation
import Layers
import Models
import ONNXMessages
import SwiftProtobuf
import Tensors
import Testing

/// Networks that were exported come back as they were, and other files are refused.
@Suite struct ONNXImportTests {
  /// Networks of at most this many parameters come back in a moment.
  private static let most = 13_000_000

  static let names = ModelZoo.entries.map(\.name).filter { name in
    let input = FeatureShape(channels: 3, height: 64, width: 64)
    guard let network = try? ModelZoo.network(name, input: input, options: .init(classes: 3)) else {
      return true
    }
    return network.layout.parameterCount <= most
  }

  private static func file(_ network: Network, _ values: FloatBuffer, normalised: Bool = false) throws
    -> Onnx_ModelProto
  {
    var export = ONNXExport(network, model: "tiny")
    if normalised {
      export.normalisation = .init(mean: [0.5, 0.25, 0.75], deviation: [2, 3, 4], resizedSide: 70)
    }
    return try Onnx_ModelProto(serializedBytes: export.encoded(values, producerVersion: "1"))
  }

  private static func read(_ model: Onnx_ModelProto) throws -> ONNXImport {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).onnx").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try (model.serializedBytes() as Data).write(to: URL(fileURLWithPath: path))
    return try ONNXImport(path: path)
  }

  /// Each layer by kind, shape and what it reads, without those that inference leaves out.
  private static func outline(_ network: Network) -> [String] {
    var sources: [Network.Source] = []
    var lines: [String] = []
    for node in network.nodes {
      let inputs = node.inputs.map { source -> Network.Source in
        guard case .node(let index) = source else { return .image }
        return sources[index]
      }
      // Of a vector, Flatten makes what it was.
      let isNothing =
        node.layer is Dropout || node.layer is StochasticDepth
        || (node.layer is Flatten && node.inputShapes[0].area == 1)
      if isNothing {
        sources.append(inputs[0])
      } else {
        lines.append("\(node.layer.kind) \(node.shape) \(inputs)")
        sources.append(.node(lines.count - 1))
      }
    }
    return lines
  }

  @Test(arguments: names)
  func anExportedNetworkComesBack(name: String) throws {
    let input = FeatureShape(channels: 3, height: 64, width: 64)
    let network = try ModelZoo.network(name, input: input, options: .init(classes: 3))
    let values = network.initialValues(seed: 5)
    let file = try Self.file(network, values, normalised: true)
    let back = try Self.read(file)
    #expect(Self.outline(back.network) == Self.outline(network))
    let ranks = Dictionary(file.graph.initializer.map { ($0.name, $0.dims.count) }) { first, _ in first }
    #expect(file.graph.node.filter { $0.opType == "Conv" }.allSatisfy { ranks[$0.input[1]] == 4 })
    #expect(back.normalisation?.mean == [0.5, 0.25, 0.75] && back.normalisation?.deviation == [2, 3, 4])
    #expect(back.metadata["image_resize"] == "70")
    #expect(back.network.layout.entries.map(\.name) == network.layout.entries.map(\.name))
    for (a, b) in zip(back.network.layout.entries, network.layout.entries) {
      #expect(a.array(in: back.values.pointer) == b.array(in: values.pointer), "\(a.name)")
    }
    for (a, b) in zip(
      back.network.nodes.compactMap { $0.layer as? BatchNorm2d },
      network.nodes.compactMap { $0.layer as? BatchNorm2d })
    {
      #expect(a.epsilon == b.epsilon)
    }
  }

  /// Layers whose settings aren't seen in shapes: what comes back is equal.
  @Test func settingsComeBack() throws {
    var builder = NetworkBuilder(input: FeatureShape(channels: 3, height: 15, width: 15))
    let layers: [any Layer] = [
      Conv2d(outputChannels: 6, kernel: 4, padding: .same),
      Conv2d(
        outputChannels: 9, kernel: Size2D(3, 2), stride: Size2D(1, 2), padding: .explicit(Size2D(2, 1)),
        dilation: Size2D(2, 1), groups: 3, bias: false),
      MaxPool2d(kernel: 3, stride: 2, padding: 1, ceilMode: true),
      AvgPool2d(kernel: 2, stride: 1, padding: 1, countIncludePad: true), ReLU6(), Hardswish(), Hardsigmoid(),
      Sigmoid(), SiLU(), Tanh(), GELU(), Softmax(), try LeakyReLU(negativeSlope: 0.25),
      try LayerNorm(epsilon: 0.5),
      try LocalResponseNorm(size: 3, alpha: 0.5, beta: 0.25, k: 2), AdaptiveAvgPool2d(output: Size2D(3, 4)),
      AdaptiveAvgPool2d(), Flatten(), Linear(outputFeatures: 4, bias: false),
    ]
    for (number, layer) in layers.enumerated() { try builder.add("layer\(number)", layer) }
    let network = try builder.build()
    let back = try Self.read(Self.file(network, network.initialValues(seed: 2))).network
    let kept = network.nodes.filter { !($0.layer is Flatten) }
    let got = back.nodes.filter { !($0.layer is Flatten) }
    #expect(got.map(\.layer.kind) == kept.map(\.layer.kind))
    func describe(_ layer: any Layer) -> String {
      // How weights begin isn't in the file, and ceil mode only where it makes a window.
      switch layer {
      case var layer as Conv2d:
        layer.initialisation = .pytorch
        return "\(layer)"
      case let layer as MaxPool2d:
        return "\(layer.window.kernel) \(layer.window.stride) \(layer.window.padding)"
      default: return "\(layer)"
      }
    }
    for (a, b) in zip(got, kept) { #expect(describe(a.layer) == describe(b.layer), "\(b.name)") }
    #expect(got.map(\.shape) == kept.map(\.shape))
  }

  private static func tiny() throws -> Onnx_ModelProto {
    var builder = NetworkBuilder(input: FeatureShape(channels: 1, height: 4, width: 4))
    try builder.add("conv", Conv2d(outputChannels: 2, kernel: 3))
    try builder.add("relu", ReLU())
    try builder.add("fc", Linear(outputFeatures: 2).flattening())
    let network = try builder.build()
    return try file(network, network.initialValues(seed: 1))
  }

  @Test func whatNoLayerIsIsRefusedByName() throws {
    func refusal(_ change: (inout Onnx_ModelProto) -> Void) throws -> String {
      var model = try Self.tiny()
      change(&model)
      do { _ = try Self.read(model) } catch { return "\(error)" }
      return "accepted"
    }
    #expect(try refusal { _ in } == "accepted")
    #expect(
      try refusal { $0.graph.node[1].opType = "Loop" }.contains("relu (Loop): no layer here is this operator")
    )
    #expect(try refusal { $0.graph.node[1].input = ["later"] }.contains("later is read before it is made"))
    #expect(try refusal { $0.graph.node[0].input = [] }.contains("expects 2 inputs, got 0"))
    #expect(try refusal { $0.graph.node[1].output = ["conv"] }.contains("expects an output that is its own"))
    #expect(
      try refusal { $0.graph.initializer[0].dims = [3, 1, 3, 3] }.contains("expects 27 elements, got 18"))
    #expect(try refusal { $0.graph.initializer[0].dims = [.max, 4] }.contains("is none"))
    #expect(try refusal { $0.graph.initializer[0].dims = [1, 2, 3, 3] }.contains("don't go with 1 channels"))
    #expect(try refusal { $0.graph.initializer[0].dataLocation = .external }.contains("another file"))
    #expect(try refusal { $0.graph.initializer[0].dataType = 99 }.contains("type 99"))
    #expect(
      try refusal { $0.graph.initializer[1].rawData = Data(repeating: 0xFF, count: 8) }.contains(
        "NaN or infinity"))
    #expect(
      try refusal { $0.graph.initializer[1].name = $0.graph.initializer[0].name }.contains("two arrays named")
    )
    #expect(try refusal { $0.opsetImport[0].version = 7 }.contains("of opset 7"))
    #expect(try refusal { $0.clearGraph() }.contains("it has no graph"))
    #expect(try refusal { $0.graph.output[0].name = "conv" }.contains("isn't what its last operator gives"))
    #expect(
      try refusal { model in
        let strides = model.graph.node[0].attribute.firstIndex { $0.name == "strides" } ?? 0
        model.graph.node[0].attribute[strides].ints = [1 << 40, 1]
      }.contains("strides expects 2 numbers from 0 to 4096"))
  }

  @Test func aFileThatIsCutShortIsRefused() throws {
    let whole: Data = try Self.tiny().serializedBytes()
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    for count in stride(from: 0, to: whole.count - 1, by: 3) {
      try whole.prefix(count).write(to: URL(fileURLWithPath: path))
      #expect(throws: (any Error).self, "cut to \(count) bytes") { try ONNXImport(path: path) }
    }
  }
}

extension Linear {
  /// Reads images as the vector that a Flatten would make of them.
  fileprivate func flattening() -> Linear {
    var layer = self
    layer.flattens = true
    return layer
  }
}
