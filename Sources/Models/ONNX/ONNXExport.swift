import Foundation
import Layers
import ONNXMessages
import SwiftProtobuf
import Tensors

/// A network with its weights as an ONNX model: input `images` (batch, C, H, W), output `logits` (batch, classes).
///
/// The operators are those of opset 17. Batch norms stay, so that arrays keep their names.
package struct ONNXExport {
  /// What is done to pixels between 0 and 1 before the first layer: y = (x − mean) / deviation of each channel.
  package struct Normalisation: Sendable {
    package let mean: [Float]
    package let deviation: [Float]
    /// Pixels of the shorter side before an image is cropped.
    package let resizedSide: Int

    package init(mean: [Float], deviation: [Float], resizedSide: Int) {
      (self.mean, self.deviation, self.resizedSide) = (mean, deviation, resizedSide)
    }
  }

  package static let opset = 17
  /// Of the container, the one that came with opset 17.
  private static let version: Int64 = 8

  package let network: Network
  package let model: String
  /// nil where the images come normalised.
  package var normalisation: Normalisation?
  package var classes: [String] = []

  package init(_ network: Network, model: String) { (self.network, self.model) = (network, model) }

  /// The bytes of the file. Throws `NetworkError` where a layer has no operators in ONNX.
  package func encoded(_ values: FloatBuffer, producerVersion: String) throws -> [UInt8] {
    var message = Onnx_ModelProto()
    message.irVersion = Self.version
    message.producerName = "cnn-dist"
    message.producerVersion = producerVersion
    var opset = Onnx_OperatorSetIdProto()
    opset.domain = ""
    opset.version = Int64(Self.opset)
    message.opsetImport = [opset]
    message.graph = try graph(values)
    message.metadataProps = metadata.map { key, value in
      var entry = Onnx_StringStringEntryProto()
      (entry.key, entry.value) = (key, value)
      return entry
    }
    return Array(try message.serializedBytes() as Data)
  }

  private var metadata: [(String, String)] {
    var pairs = [("model", model), ("image_channels", "\(network.input.channels)")]
    pairs += [("image_height", "\(network.input.height)"), ("image_width", "\(network.input.width)")]
    if !classes.isEmpty {
      pairs.append(("classes", "[\(classes.map(JSONText.quoted).joined(separator: ","))]"))
    }
    guard let normalisation else { return pairs + [("input", "normalised as in training")] }
    func list(_ values: [Float]) -> String { "[\(values.map(\.description).joined(separator: ","))]" }
    return pairs + [
      ("input", network.input.channels == 3 ? "RGB between 0 and 1" : "values between 0 and 1"),
      ("mean", list(normalisation.mean)), ("deviation", list(normalisation.deviation)),
      ("image_resize", "\(normalisation.resizedSide)"),
    ]
  }

  private func graph(_ values: FloatBuffer) throws(NetworkError) -> Onnx_GraphProto {
    var graph = ONNXGraph(name: model)
    let input = network.input
    let images = graph.input("images", batchOf: [input.channels, input.height, input.width])
    let first = normalised(images, in: &graph)
    var outputs: [ONNXValue] = []
    for node in network.nodes {
      let inputs = node.inputs.map { source -> ONNXValue in
        switch source {
        case .image: ONNXValue(name: first, isFlat: false)
        case .node(let index): outputs[index]
        }
      }
      guard let layer = node.layer as? any ONNXConvertible else {
        throw NetworkError("\(node.name): \(node.layer.kind) has no operators in ONNX here")
      }
      var place = ONNXPlace(node: node, values: values, graph: graph)
      do {
        outputs.append(try layer.addToONNX(inputs, &place))
      } catch {
        throw NetworkError("\(node.name): \(error)")
      }
      graph = place.graph
    }
    guard var last = outputs.last else {
      throw NetworkError("a network expects at least one layer, got none")
    }
    if !last.isFlat { last = last.flattened(in: &graph, named: "flat_logits") }
    graph.output(last.name, as: "logits", batchOf: [network.classes])
    return graph.message
  }

  private func normalised(_ images: String, in graph: inout ONNXGraph) -> String {
    guard let normalisation else { return images }
    let shape: Shape = [1, normalisation.mean.count, 1, 1]
    let mean = graph.add(Tensor(shape: shape, values: normalisation.mean), named: "normalisation.mean")
    let deviation = graph.add(
      Tensor(shape: shape, values: normalisation.deviation), named: "normalisation.deviation")
    let centred = graph.add("Sub", [images, mean], named: "normalisation/centred")
    return graph.add("Div", [centred, deviation], named: "normalisation/scaled")
  }
}

/// A value in the graph: images (N, C, H, W), or where flat, vectors (N, F).
struct ONNXValue {
  var name: String
  var isFlat: Bool

  /// As vectors.
  func flattened(in graph: inout ONNXGraph, named name: String) -> ONNXValue {
    guard !isFlat else { return self }
    return ONNXValue(
      name: graph.add("Flatten", [self.name], named: name, [("axis", .integer(1))]), isFlat: true)
  }
}

/// A layer in its network, with its arrays, beside the graph that it adds to.
struct ONNXPlace {
  let node: Network.Node
  let values: FloatBuffer
  var graph: ONNXGraph

  var input: FeatureShape { node.inputShapes[0] }

  /// An operator, named as the layer with `part` behind it.
  mutating func add(
    _ operation: String, _ inputs: [String], _ part: String = "", _ attributes: [(String, ONNXAttribute)] = []
  ) -> String {
    graph.add(operation, inputs, named: part.isEmpty ? node.name : "\(node.name)/\(part)", attributes)
  }

  /// A constant that isn't an array of the network.
  mutating func constant(_ tensor: Tensor, _ part: String) -> String {
    graph.add(tensor, named: "\(node.name)/\(part)")
  }

  mutating func constant(_ value: Float, _ part: String) -> String {
    constant(Tensor(shape: [], values: [value]), part)
  }

  mutating func constant(_ values: [Int], _ part: String) -> String {
    graph.add(values, named: "\(node.name)/\(part)")
  }

  /// The layer's arrays as initializers by their own names, parameters then statistics; the first of another
  /// `shape` where one is given.
  mutating func arrays(weight shape: Shape? = nil) -> [String] {
    (node.parameters + node.statistics).enumerated().map { number, entry in
      let shape = number == 0 ? shape ?? entry.shape : entry.shape
      return graph.add(Tensor(shape: shape, values: entry.array(in: values.pointer)), named: entry.name)
    }
  }
}

/// A layer that is operators in ONNX, too.
protocol ONNXConvertible: Layer {
  /// Adds them. Returns the layer's output.
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) throws(LayerError) -> ONNXValue
}
