import Layers
import Tensors

extension ReLU: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    ONNXValue(name: place.add("Relu", [inputs[0].name]), isFlat: inputs[0].isFlat)
  }
}

extension Flatten: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    inputs[0].flattened(in: &place.graph, named: place.node.name)
  }
}

/// What inference leaves out.
extension Dropout: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue { inputs[0] }
}

extension Add: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let names = inputs.map(\.name)
    let sum = place.add(names.count == 2 ? "Add" : "Sum", names, activation == .relu ? "sum" : "")
    return ONNXValue(name: activation == .relu ? place.add("Relu", [sum]) : sum, isFlat: inputs[0].isFlat)
  }
}

extension Concat: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let isFlat = inputs.allSatisfy(\.isFlat)
    let output = place.add("Concat", inputs.map(\.name), "", [("axis", .integer(1))])
    return ONNXValue(name: output, isFlat: isFlat)
  }
}
