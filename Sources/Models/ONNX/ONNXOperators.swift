import Foundation
import Layers
import ONNXMessages
import Tensors

extension ONNXReading {
  /// Adds the layer that a node stands for, or remembers what it is a part of.
  mutating func add(_ node: Onnx_NodeProto, number: Int) throws(ONNXProblem) {
    guard let output = node.output.first, known[output] == nil else {
      throw ONNXProblem("expects an output that is its own")
    }
    let name = node.name.isEmpty ? "node\(number)" : node.name
    let attributes = ONNXAttributes(node)
    let expected = Self.inputs[node.opType] ?? 1
    guard node.input.count >= expected else {
      throw ONNXProblem("expects \(expected) inputs, got \(node.input.count)")
    }
    known[output] = try operand(node, name, attributes)
  }

  /// How many inputs operators need at least, where it isn't one.
  private static let inputs = [
    "Conv": 2, "Gemm": 2, "BatchNormalization": 5, "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "MatMul": 2,
    "Reshape": 2, "LayerNormalization": 2, "Concat": 1, "Constant": 0,
  ]

  private mutating func operand(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    if let function = try function(node, attributes) {
      return .features(try add(name, function, [try features(node.input[0])]))
    }
    switch node.opType {
    case "Identity", "Dropout":
      guard let input = known[node.input[0]] else {
        throw ONNXProblem("\(node.input[0]) is read before it is made")
      }
      return input
    case "Constant": return try constant(attributes)
    case "Conv": return try convolution(node, name, attributes)
    case "Gemm": return try gemm(node, name, attributes)
    case "BatchNormalization": return try batchNorm(node, name, attributes)
    case "MaxPool", "AveragePool": return try pool(node, name, attributes)
    case "GlobalAveragePool":
      return .features(try add(name, AdaptiveAvgPool2d(), [try features(node.input[0])]))
    case "ReduceMean": return try mean(node, name, attributes)
    case "Flatten", "Reshape": return try flattened(node, name, attributes)
    case "Sigmoid": return .gate(try features(node.input[0]), name: name)
    case "Erf":
      guard case .scaled(let source, let factor)? = known[node.input[0]], abs(factor - 0.70710678) < 1e-6
      else {
        throw ONNXProblem("is known as a part of GELU only")
      }
      return .erf(source)
    case "Add", "Sum", "Sub", "Mul", "Div": return try arithmetic(node, name)
    case "Concat":
      guard [1, -3].contains(attributes.integer("axis", 0)) else {
        throw ONNXProblem("expects axis 1, the channels")
      }
      var sources: [Network.Source] = []
      for input in node.input { sources.append(try features(input)) }
      return .features(try add(name, Concat(), sources))
    case "MatMul": return try product(node, name)
    case "Transpose": return try transposed(node, attributes)
    case "LayerNormalization": return try layerNorm(node, name, attributes)
    default: throw ONNXProblem("no layer here is this operator")
    }
  }

  /// Layers with one input and no arrays.
  private func function(
    _ node: Onnx_NodeProto, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> (any Layer)? {
    do {
      switch node.opType {
      case "Relu": return ReLU()
      case "HardSwish": return Hardswish()
      case "HardSigmoid":
        guard abs(attributes.number("alpha", 0.2) - 1 / 6) < 1e-6, attributes.number("beta", 0.5) == 0.5
        else {
          throw ONNXProblem("expects alpha 1/6 and beta 1/2")
        }
        return Hardsigmoid()
      case "LeakyRelu": return try LeakyReLU(negativeSlope: attributes.number("alpha", 0.01))
      case "Tanh": return Tanh()
      case "Gelu": return GELU(approximate: attributes["approximate"]?.s == Self.tanh ? .tanh : .none)
      case "Softmax":
        guard attributes.integer("axis", -1) == 1 else {
          throw ONNXProblem("expects axis 1, the channels")
        }
        return Softmax()
      case "LRN":
        return try LocalResponseNorm(
          size: attributes.integer("size", 0), alpha: attributes.number("alpha", 1e-4),
          beta: attributes.number("beta", 0.75), k: attributes.number("bias", 1))
      case "Clip":
        let bounds = node.input.dropFirst().map { constant($0)?.values ?? [] }
        guard bounds == [[0], [6]] else { throw ONNXProblem("expects bounds 0 and 6") }
        return ReLU6()
      default: return nil
      }
    } catch {
      throw ONNXProblem("\(error)")
    }
  }

  private static let tanh = Foundation.Data("tanh".utf8)

  private func constant(_ attributes: ONNXAttributes) throws(ONNXProblem) -> ONNXOperand {
    guard let value = attributes["value"], value.hasT else {
      throw ONNXProblem("expects an array as its value")
    }
    do {
      switch try ONNXModel.decoded(value.t, path: "value") {
      case .floats(let tensor): return .constant(tensor)
      case .integers(let values): return .integers(values)
      }
    } catch { throw ONNXProblem("\(error)") }
  }

  private mutating func mean(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    var axes = attributes["axes"]?.ints.map(Int.init) ?? []
    if node.input.count > 1, case .integers(let given)? = known[node.input[1]] { axes = given }
    guard Set(axes.map { $0 < 0 ? $0 + 4 : $0 }) == [2, 3] else {
      throw ONNXProblem("expects axes 2 and 3, the image")
    }
    return .features(try add(name, AdaptiveAvgPool2d(), [try features(node.input[0])]))
  }

  private mutating func flattened(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    let source = try features(node.input[0])
    if node.opType == "Flatten" {
      guard attributes.integer("axis", 1) == 1 else { throw ONNXProblem("expects axis 1") }
    } else {
      guard case .integers(let extents)? = known[node.input[1]] else {
        throw ONNXProblem("expects extents that are constant")
      }
      // Factors of channels get the extents of images back.
      if extents.count == 4, extents[2...] == [1, 1], builder.shape(of: source).area == 1 {
        return .features(source)
      }
      guard extents.count == 2 else { throw ONNXProblem("expects (batch, features), got \(extents)") }
    }
    return .features(try add(name, Flatten(), [source]))
  }
}
