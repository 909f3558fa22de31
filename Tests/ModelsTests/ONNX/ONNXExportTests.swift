import Foundation
import Layers
import Models
import ONNXMessages
import SwiftProtobuf
import Tensors
import Testing

/// What stands in an exported model. That it computes the same, scripts/peers/compare_round_trips.py asks ONNX Runtime.
@Suite struct ONNXExportTests {
  private static func network() throws -> Network {
    var builder = NetworkBuilder(input: FeatureShape(channels: 3, height: 7, width: 9))
    try builder.add("conv1", Conv2d(outputChannels: 4, kernel: 4, padding: .same, bias: false))
    let normed = try builder.add("bn1", BatchNorm2d(epsilon: 0.25))
    let gate = try builder.add("gelu", GELU())
    try builder.add("sum", Add(), from: normed, gate)
    try builder.add("pool", MaxPool2d(kernel: 3, stride: 2, ceilMode: true))
    try builder.add("dropout", Dropout(number: 0))
    try builder.add("means", AdaptiveAvgPool2d(output: 2))
    try builder.add("flatten", Flatten())
    try builder.add("fc", Linear(outputFeatures: 5))
    return try builder.build()
  }

  private static func exported(_ network: Network, _ values: FloatBuffer, raw: Bool = true) throws
    -> Onnx_ModelProto
  {
    var export = ONNXExport(network, model: "tiny")
    export.classes = ["a \"b\"", "c"]
    if !raw {
      export.normalisation = .init(mean: [0.5, 0.25, 0.125], deviation: [2, 3, 4], resizedSide: 12)
    }
    return try Onnx_ModelProto(serializedBytes: export.encoded(values, producerVersion: "9"))
  }

  private static func floats(_ tensor: Onnx_TensorProto) -> [Float] {
    tensor.rawData.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  @Test func aModelSaysWhatItTakesAndGives() throws {
    let network = try Self.network()
    let model = try Self.exported(network, network.initialValues(seed: 3))
    #expect(model.opsetImport.map(\.version) == [17] && model.irVersion == 8)
    #expect(model.producerName == "cnn-dist" && model.producerVersion == "9")
    func extents(_ value: Onnx_ValueInfoProto) -> [String] {
      value.type.tensorType.shape.dim.map { $0.dimParam.isEmpty ? "\($0.dimValue)" : $0.dimParam }
    }
    #expect(model.graph.input.map(\.name) == ["images"] && model.graph.output.map(\.name) == ["logits"])
    #expect(model.graph.input.map(extents) == [["batch", "3", "7", "9"]])
    #expect(model.graph.output.map(extents) == [["batch", "5"]])
    let metadata = Dictionary(uniqueKeysWithValues: model.metadataProps.map { ($0.key, $0.value) })
    #expect(metadata["classes"] == "[\"a \\\"b\\\"\",\"c\"]" && metadata["model"] == "tiny")
    #expect(metadata["mean"] == nil)
  }

  /// Arrays keep their names, shapes and bits; each value is made before it is read, once.
  @Test func arraysAndOperatorsAreWhole() throws {
    let network = try Self.network()
    let values = network.initialValues(seed: 3)
    let graph = try Self.exported(network, values).graph
    let arrays = Dictionary(uniqueKeysWithValues: graph.initializer.map { ($0.name, $0) })
    for entry in network.layout.entries {
      let array = try #require(arrays[entry.name])
      #expect(array.dims.map(Int.init) == entry.shape.dimensions)
      #expect(Self.floats(array) == entry.array(in: values.pointer))
    }
    var known = Set(arrays.keys).union(["images"])
    for node in graph.node {
      #expect(known.isSuperset(of: node.input), "\(node.name) reads \(node.input)")
      for output in node.output { #expect(known.insert(output).inserted, "\(output) is made twice") }
    }
    #expect(known.contains("logits"))
  }

  /// The paddings are those of the layers: an odd zero below and to the right, and as far as the last window reaches.
  @Test func attributesAreThoseOfTheLayers() throws {
    let network = try Self.network()
    let nodes = try Self.exported(network, network.initialValues(seed: 3)).graph.node
    func integers(_ name: String, _ attribute: String) -> [Int64]? {
      nodes.first { $0.name == name }?.attribute.first { $0.name == attribute }?.ints
    }
    #expect(integers("conv1", "pads") == [1, 1, 2, 2])
    #expect(integers("pool", "pads") == [0, 0, 0, 0] && integers("pool", "strides") == [2, 2])
    let epsilon = nodes.first { $0.name == "bn1" }?.attribute.first { $0.name == "epsilon" }
    #expect(epsilon?.f == 0.25)
    #expect(!nodes.contains { $0.opType == "Dropout" })
  }

  @Test func normalisationIsPartOfTheModel() throws {
    let network = try Self.network()
    let model = try Self.exported(network, network.initialValues(seed: 3), raw: false)
    #expect(model.graph.node.prefix(2).map(\.opType) == ["Sub", "Div"])
    let arrays = Dictionary(uniqueKeysWithValues: model.graph.initializer.map { ($0.name, $0) })
    #expect(arrays["normalisation.mean"].map(Self.floats) == [0.5, 0.25, 0.125])
    #expect(arrays["normalisation.deviation"]?.dims == [1, 3, 1, 1])
    let metadata = Dictionary(uniqueKeysWithValues: model.metadataProps.map { ($0.key, $0.value) })
    #expect(metadata["mean"] == "[0.5,0.25,0.125]" && metadata["deviation"] == "[2.0,3.0,4.0]")
    #expect(metadata["image_resize"] == "12" && metadata["input"] == "RGB between 0 and 1")
  }
}
