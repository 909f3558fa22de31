import Layers
import ONNXMessages
import Tensors

extension ONNXReading {
  /// A sum or product: of layers, of images and their normalisation, or a step of GELU.
  mutating func arithmetic(_ node: Onnx_NodeProto, _ name: String) throws(ONNXProblem) -> ONNXOperand {
    let operands = node.input.compactMap { known[$0] }
    guard operands.count == node.input.count else { throw ONNXProblem("reads what isn't made yet") }
    if operands.count == 2, let constant = constant(node.input[1]) ?? constant(node.input[0]) {
      let isFirst = self.constant(node.input[1]) == nil
      guard !isFirst || ["Add", "Mul"].contains(node.opType) else {
        throw ONNXProblem("expects its constant behind")
      }
      return try with(constant, named: node.input[isFirst ? 0 : 1], operands[isFirst ? 1 : 0], node, name)
    }
    if node.opType == "Mul" { return try multiplied(operands, node, name) }
    guard ["Add", "Sum"].contains(node.opType) else {
      throw ONNXProblem("expects a constant as its second input")
    }
    var sources: [Network.Source] = []
    var isLast: [Bool] = []
    for (operand, input) in zip(operands, node.input) {
      if case .features(let source, let lastChannels) = operand {
        sources.append(source)
        isLast.append(lastChannels)
      } else {
        sources.append(try features(input))
        isLast.append(false)
      }
    }
    guard Set(isLast).count == 1 else { throw ONNXProblem("has channels second and last") }
    return .features(try add(name, Layers.Add(), sources), lastChannels: isLast[0])
  }

  private mutating func multiplied(
    _ operands: [ONNXOperand], _ node: Onnx_NodeProto, _ name: String
  ) throws(ONNXProblem) -> ONNXOperand {
    switch (operands[0], operands[1]) {
    case (.features(let x, false), .gate(let y, _)) where x == y,
      (.gate(let y, _), .features(let x, false)) where x == y:
      return .features(try add(name, SiLU(), [x]))
    case (.features(let x, let last), .raisedErf(let y)) where x == y,
      (.raisedErf(let y), .features(let x, let last)) where x == y:
      guard !last else { throw ONNXProblem("is known as a part of GELU with the channels second") }
      return .doubledGELU(x)
    case (.scaled(let x, 0.5), .raisedErf(let y)) where x == y,
      (.raisedErf(let y), .scaled(let x, 0.5)) where x == y:
      return .features(try add(name, GELU(), [x]))
    default: break
    }
    let (first, second) = (try features(node.input[0]), try features(node.input[1]))
    let isGateFirst = builder.shape(of: first).area == 1 && builder.shape(of: second).area > 1
    return .features(try add(name, Multiply(), isGateFirst ? [second, first] : [first, second]))
  }

  private mutating func with(
    _ constant: Tensor, named array: String, _ operand: ONNXOperand, _ node: Onnx_NodeProto, _ name: String
  ) throws(ONNXProblem) -> ONNXOperand {
    let scalar = constant.values.count == 1 ? constant.values[0] : nil
    switch (node.opType, operand) {
    case ("Sub", .features(.image, false)), ("Div", .features(.image, false)),
      ("Mul", .features(.image, false)):
      return try normalised(constant, node.opType)
    case ("Mul", .features(let x, false)):
      if let scalar { return .scaled(x, scalar) }
      guard constant.values.count == builder.shape(of: x).channels, constant.shape.rank >= 3 else {
        throw ONNXProblem("expects a factor for each channel, got \(constant.shape)")
      }
      let layer: LayerScale
      do { layer = try LayerScale() } catch { throw ONNXProblem("\(error)") }
      return .features(try add(Self.layer(of: array, or: name), layer, [x], [("layer_scale", constant)]))
    case ("Div", .features(let x, false)):
      guard let scalar, scalar != 0 else { throw ONNXProblem("expects a number to divide by") }
      return .scaled(x, 1 / scalar)
    case ("Add", .erf(let x)) where scalar == 1: return .raisedErf(x)
    case ("Mul", .doubledGELU(let x)) where scalar == 0.5: return .features(try add(name, GELU(), [x]))
    case ("Add", .product(let x, let weight, let layer)):
      return try behind(x, weight: weight, bias: constant, layer)
    default: throw ONNXProblem("has no layer here with a constant")
    }
  }

  /// Sub, then Div or Mul, of the images by a number for each channel.
  private mutating func normalised(_ constant: Tensor, _ operation: String) throws(ONNXProblem) -> ONNXOperand
  {
    let channels = builder.input.channels
    guard builder.layerNames.isEmpty, [1, channels].contains(constant.values.count) else {
      throw ONNXProblem("expects a number for each channel of the images, got \(constant.shape)")
    }
    let values =
      constant.values.count == channels
      ? constant.values : Array(repeating: constant.values[0], count: channels)
    switch operation {
    case "Sub":
      guard mean.isEmpty else { throw ONNXProblem("normalises the images twice") }
      (mean, deviation) = (values, Array(repeating: 1, count: channels))
    default:
      if mean.isEmpty {
        (mean, deviation) = (Array(repeating: 0, count: channels), Array(repeating: 1, count: channels))
      }
      let factors = operation == "Div" ? values : values.map { 1 / $0 }
      deviation = zip(deviation, factors).map(*)
      guard deviation.allSatisfy({ $0 > 0 && $0.isFinite }) else {
        throw ONNXProblem("expects deviations above 0, got \(deviation)")
      }
    }
    return .features(.image)
  }
}
