import Layers
import Tensors

/// An activation that is one operator.
protocol ONNXFunction: ONNXConvertible {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) { get }
}

extension ONNXFunction {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let (name, attributes) = operation
    return ONNXValue(name: place.add(name, [inputs[0].name], "", attributes), isFlat: inputs[0].isFlat)
  }
}

extension Hardsigmoid: ONNXFunction {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) {
    ("HardSigmoid", [("alpha", .number(1 / 6)), ("beta", .number(0.5))])
  }
}

extension Hardswish: ONNXFunction {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) { ("HardSwish", []) }
}

extension LeakyReLU: ONNXFunction {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) {
    ("LeakyRelu", [("alpha", .number(negativeSlope))])
  }
}

extension Sigmoid: ONNXFunction {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) { ("Sigmoid", []) }
}

extension Tanh: ONNXFunction {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) { ("Tanh", []) }
}

extension Softmax: ONNXFunction {
  var operation: (name: String, attributes: [(String, ONNXAttribute)]) {
    ("Softmax", [("axis", .integer(1))])
  }
}

extension ReLU6: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let bounds = [place.constant(0, "least"), place.constant(6, "most")]
    return ONNXValue(name: place.add("Clip", [inputs[0].name] + bounds), isFlat: inputs[0].isFlat)
  }
}

extension SiLU: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let gate = place.add("Sigmoid", [inputs[0].name], "gate")
    return ONNXValue(name: place.add("Mul", [inputs[0].name, gate]), isFlat: inputs[0].isFlat)
  }
}

extension GELU: ONNXConvertible {
  /// x/2 · (1 + erf(x/√2)), or with tanh of √(2/π) · (x + 0.044715 x³) in the place of erf. (Opset 20 has an operator.)
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let x = inputs[0].name
    let gate: String
    switch approximate {
    case .none:
      let scaled = place.add("Mul", [x, place.constant(Float(0.5.squareRoot()), "root_half")], "scaled")
      gate = place.add("Erf", [scaled], "erf")
    case .tanh:
      let square = place.add("Mul", [x, x], "square")
      let cubic = place.add("Mul", [square, place.constant(0.044715, "cubic")], "cubic_term")
      let bent = place.add("Add", [cubic, place.constant(1, "unit")], "bent")
      let inner = place.add("Mul", [x, bent], "inner")
      let scale = place.constant(Float((2 / Double.pi).squareRoot()), "root_two_over_pi")
      gate = place.add("Tanh", [place.add("Mul", [inner, scale], "scaled")], "tanh")
    }
    let raised = place.add("Add", [gate, place.constant(1, "one")], "raised")
    let half = place.add("Mul", [x, place.constant(0.5, "half")], "half_x")
    return ONNXValue(name: place.add("Mul", [half, raised]), isFlat: inputs[0].isFlat)
  }
}

/// What inference leaves out.
extension StochasticDepth: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue { inputs[0] }
}

extension Multiply: ONNXConvertible {
  /// The factors must have all four extents beside images.
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    var factors = inputs[1].name
    if inputs[1].isFlat, !inputs[0].isFlat {
      factors = place.add("Reshape", [factors, place.constant([0, 0, 1, 1], "extents")], "factors")
    }
    return ONNXValue(name: place.add("Mul", [inputs[0].name, factors]), isFlat: inputs[0].isFlat)
  }
}

extension LayerScale: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    ONNXValue(name: place.add("Mul", [inputs[0].name] + place.arrays()), isFlat: false)
  }
}
