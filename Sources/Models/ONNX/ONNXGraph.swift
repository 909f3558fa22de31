import Foundation
import Layers
import ONNXMessages
import Tensors

/// A graph of ONNX operators in the making. Values are known by name; arrays are initializers.
struct ONNXGraph {
  private var graph = Onnx_GraphProto()
  private var names: Set<String> = []

  init(name: String) { graph.name = name }

  /// A name that nothing has yet, `wanted` if it is free.
  private mutating func free(_ wanted: String) -> String {
    var (name, number) = (wanted, 1)
    while !names.insert(name).inserted {
      name = "\(wanted)_\(number)"
      number += 1
    }
    return name
  }

  /// An operator. Returns the name of its output, which is also the node's.
  mutating func add(
    _ operation: String, _ inputs: [String], named name: String, _ attributes: [(String, ONNXAttribute)] = []
  ) -> String {
    var node = Onnx_NodeProto()
    node.opType = operation
    node.input = inputs
    node.name = free(name)
    node.output = [node.name]
    node.attribute = attributes.map { $1.message(named: $0) }
    graph.node.append(node)
    return node.name
  }

  /// An array of floats. Returns its name.
  mutating func add(_ tensor: Tensor, named name: String) -> String {
    var message = Onnx_TensorProto()
    message.dims = tensor.shape.dimensions.map(Int64.init)
    message.dataType = Int32(Onnx_TensorProto.DataType.float.rawValue)
    message.rawData = tensor.values.withUnsafeBytes { Data($0) }
    return add(message, named: name)
  }

  /// A vector of whole numbers. Returns its name.
  mutating func add(_ values: [Int], named name: String) -> String {
    var message = Onnx_TensorProto()
    message.dims = [Int64(values.count)]
    message.dataType = Int32(Onnx_TensorProto.DataType.int64.rawValue)
    message.rawData = values.map { Int64($0).littleEndian }.withUnsafeBytes { Data($0) }
    return add(message, named: name)
  }

  private mutating func add(_ message: Onnx_TensorProto, named name: String) -> String {
    var message = message
    message.name = free(name)
    graph.initializer.append(message)
    return message.name
  }

  /// Declares an input or output whose first extent, the batch, is free.
  static func value(_ name: String, batchOf extents: [Int]) -> Onnx_ValueInfoProto {
    var value = Onnx_ValueInfoProto()
    value.name = name
    var free = Onnx_TensorShapeProto.Dimension()
    free.dimParam = "batch"
    value.type.tensorType.elemType = Int32(Onnx_TensorProto.DataType.float.rawValue)
    value.type.tensorType.shape.dim =
      [free]
      + extents.map {
        var dimension = Onnx_TensorShapeProto.Dimension()
        dimension.dimValue = Int64($0)
        return dimension
      }
    return value
  }

  mutating func input(_ name: String, batchOf extents: [Int]) -> String {
    graph.input.append(Self.value(free(name), batchOf: extents))
    return name
  }

  /// Gives a value another name, under which it is an output.
  mutating func output(_ value: String, as name: String, batchOf extents: [Int]) {
    let output = add("Identity", [value], named: name)
    graph.output.append(Self.value(output, batchOf: extents))
  }

  var message: Onnx_GraphProto { graph }
}

/// The value of an attribute of an operator.
enum ONNXAttribute {
  case integer(Int)
  case integers([Int])
  case number(Float)

  func message(named name: String) -> Onnx_AttributeProto {
    var message = Onnx_AttributeProto()
    message.name = name
    switch self {
    case .integer(let value):
      message.type = .int
      message.i = Int64(value)
    case .integers(let values):
      message.type = .ints
      message.ints = values.map(Int64.init)
    case .number(let value):
      message.type = .float
      message.f = value
    }
    return message
  }
}
