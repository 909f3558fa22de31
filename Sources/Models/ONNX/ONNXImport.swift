import Layers
import ONNXMessages
import Tensors

/// A network read from an ONNX file: what `ONNXExport` writes, and what torch.onnx.export makes of the zoo.
package struct ONNXImport {
  package let network: Network
  package let values: FloatBuffer
  package let metadata: [String: String]
  /// What the file does to pixels before its first layer; nil where that is nothing.
  package let normalisation: (mean: [Float], deviation: [Float])?

  /// Throws `FileError`, or `WeightsError` that names the operator which has no layer here.
  package init(path: String) throws {
    let model = try ONNXModel(path: path)
    var reading = try ONNXReading(model)
    for (number, node) in model.graph.node.enumerated() {
      do {
        try reading.add(node, number: number)
      } catch {
        let name = node.name.isEmpty ? "node \(number)" : node.name
        throw WeightsError(path: path, problem: "\(name) (\(node.opType)): \(error)")
      }
    }
    (network, values) = try reading.finished()
    metadata = model.metadata
    normalisation = reading.mean.isEmpty ? nil : (reading.mean, reading.deviation)
  }
}

/// What a value of the graph is while the graph is walked.
enum ONNXOperand {
  /// What a layer gives; where `lastChannels`, with the channels behind.
  case features(Network.Source, lastChannels: Bool = false)
  case constant(Tensor)
  case integers([Int])
  /// σ(x), until it is known whether x · σ(x) is meant.
  case gate(Network.Source, name: String)
  /// Steps towards GELU(x): c · x, erf(x/√2), 1 + erf(x/√2), and x · (1 + erf(x/√2)).
  case scaled(Network.Source, Float)
  case erf(Network.Source)
  case raisedErf(Network.Source)
  case doubledGELU(Network.Source)
  /// Means over rows, and a product of channels that lie behind, whose bias may follow.
  case overRows(Network.Source, windows: Int)
  case product(Network.Source, weight: Tensor, name: String)
}

/// Builds the network, node by node.
struct ONNXReading {
  var builder: NetworkBuilder
  var known: [String: ONNXOperand] = [:]
  /// By layer and array.
  var arrays: [String: Tensor] = [:]
  /// Once images are normalised.
  var mean: [Float] = []
  var deviation: [Float] = []
  private let model: ONNXModel

  init(_ model: ONNXModel) throws(WeightsError) {
    self.model = model
    func refuse(_ problem: String) -> WeightsError { WeightsError(path: model.path, problem: problem) }
    let inputs = model.graph.input.filter { model.arrays[$0.name] == nil && model.integers[$0.name] == nil }
    guard inputs.count == 1, model.graph.output.count == 1 else {
      throw refuse("has \(inputs.count) inputs and \(model.graph.output.count) outputs, expects one of each")
    }
    let extents = inputs[0].type.tensorType.shape.dim.map { Int($0.dimValue) }
    guard extents.count == 4, extents[1...].allSatisfy({ (1...4096).contains($0) }) else {
      throw refuse("its input \(inputs[0].name) expects (batch, channels, height, width), got \(extents)")
    }
    builder = NetworkBuilder(input: FeatureShape(channels: extents[1], height: extents[2], width: extents[3]))
    known[inputs[0].name] = .features(.image)
    for (name, array) in model.arrays { known[name] = .constant(array) }
    for (name, values) in model.integers { known[name] = .integers(values) }
  }

  /// The network and its values, once all nodes are in.
  mutating func finished() throws -> (Network, FloatBuffer) {
    func refuse(_ problem: String) -> WeightsError { WeightsError(path: model.path, problem: problem) }
    let output = model.graph.output[0].name
    guard case .node? = try? features(output), let last = try? features(output), last == builder.last else {
      throw refuse("its output \(output) isn't what its last operator gives")
    }
    let network: Network
    do { network = try builder.build() } catch { throw refuse("\(error)") }
    let values = FloatBuffer(count: network.layout.extent)
    for entry in network.layout.entries {
      guard let array = arrays[entry.name], array.shape.count == entry.shape.count else {
        throw refuse(
          "\(entry.name) expects shape \(entry.shape), got \(arrays[entry.name]?.shape.description ?? "none")"
        )
      }
      entry.fill(values.pointer, with: array.values)
    }
    return (network, values)
  }

  /// A value as what a layer gives. Adds the layer that was waited with.
  mutating func features(_ name: String) throws(ONNXProblem) -> Network.Source {
    switch known[name] {
    case .features(let source, lastChannels: false): return source
    case .gate(let source, let layer):
      let gate = try add(layer, Sigmoid(), [source])
      known[name] = .features(gate)
      return gate
    case nil: throw ONNXProblem("\(name) is read before it is made")
    default: throw ONNXProblem("\(name) is used as no layer here can")
    }
  }

  func constant(_ name: String) -> Tensor? {
    guard case .constant(let tensor)? = known[name] else { return nil }
    return tensor
  }

  /// Adds a layer under a name that is free, with its arrays.
  mutating func add(
    _ name: String, _ layer: any Layer, _ inputs: [Network.Source], _ arrays: [(String, Tensor)] = []
  ) throws(ONNXProblem) -> Network.Source {
    var (free, number) = (name, 1)
    while builder.source(named: free) != nil {
      free = "\(name)_\(number)"
      number += 1
    }
    for (array, tensor) in arrays { self.arrays["\(free).\(array)"] = tensor }
    do { return try builder.add(free, layer, inputs: inputs) } catch { throw ONNXProblem("\(error)") }
  }

  /// Of an array `layer.weight`, the layer; else what the node is called.
  static func layer(of array: String, or name: String) -> String {
    for suffix in [".weight", ".layer_scale"] where array.hasSuffix(suffix) {
      return String(array.dropLast(suffix.count))
    }
    return name
  }
}

/// What is wrong with a node.
struct ONNXProblem: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// A node's attributes by name.
struct ONNXAttributes {
  private let node: Onnx_NodeProto

  init(_ node: Onnx_NodeProto) { self.node = node }

  subscript(name: String) -> Onnx_AttributeProto? { node.attribute.first { $0.name == name } }

  func integer(_ name: String, _ standard: Int) -> Int { self[name].map { Int($0.i) } ?? standard }
  func number(_ name: String, _ standard: Float) -> Float { self[name]?.f ?? standard }

  /// Two or four extents, none of which a network of images would exceed.
  func extents(_ name: String, _ standard: [Int]) throws(ONNXProblem) -> [Int] {
    guard let given = self[name] else { return standard }
    let values = given.ints.map(Int.init)
    guard values.count == standard.count, values.allSatisfy({ (0...4096).contains($0) }) else {
      throw ONNXProblem("\(name) expects \(standard.count) numbers from 0 to 4096, got \(values)")
    }
    return values
  }
}
