import Foundation
import Layers
import ONNXMessages
import Tensors

/// Operators with arrays or windows.
extension ONNXReading {
  mutating func convolution(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    let source = try features(node.input[0])
    guard let weight = constant(node.input[1]), weight.shape.rank == 4 else {
      throw ONNXProblem("expects constant weights (O, C, kh, kw)")
    }
    let groups = attributes.integer("group", 1)
    let channels = builder.shape(of: source).channels
    guard groups > 0, groups <= channels, weight.shape[1] == channels / groups, channels % groups == 0 else {
      throw ONNXProblem("weights \(weight.shape) in \(groups) groups don't go with \(channels) channels")
    }
    try checkPadding(attributes)
    let (stride, dilation) = (
      try attributes.extents("strides", [1, 1]), try attributes.extents("dilations", [1, 1])
    )
    let pads = try attributes.extents("pads", [0, 0, 0, 0])
    let kernel = [weight.shape[2], weight.shape[3]]
    let whole = zip(kernel, dilation).map { ($0 - 1) * $1 }
    let padding: Conv2d.Padding
    if pads[0] == pads[2] && pads[1] == pads[3] {
      padding = .explicit(Size2D(pads[0], pads[1]))
    } else {
      let same = [whole[0] / 2, whole[1] / 2, whole[0] - whole[0] / 2, whole[1] - whole[1] / 2]
      guard pads == same, stride == [1, 1] else {
        throw ONNXProblem("pads \(pads) are of no convolution here")
      }
      padding = .same
    }
    var arrays = [("weight", weight)]
    if node.input.count > 2, let bias = constant(node.input[2]) { arrays.append(("bias", bias)) }
    let layer = Conv2d(
      outputChannels: weight.shape[0], kernel: Size2D(kernel[0], kernel[1]),
      stride: Size2D(stride[0], stride[1]),
      padding: padding, dilation: Size2D(dilation[0], dilation[1]), groups: groups, bias: arrays.count > 1)
    return .features(try add(Self.layer(of: node.input[1], or: name), layer, [source], arrays))
  }

  mutating func gemm(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    let source = try features(node.input[0])
    guard var weight = constant(node.input[1]), weight.shape.rank == 2, attributes.integer("transA", 0) == 0,
      attributes.number("alpha", 1) == 1, attributes.number("beta", 1) == 1
    else { throw ONNXProblem("expects x · W, with constant weights and no factors") }
    if attributes.integer("transB", 0) == 0 { weight = weight.transposed() }
    return .features(
      try linear(node, name, source, weight, bias: node.input.count > 2 ? constant(node.input[2]) : nil))
  }

  private mutating func linear(
    _ node: Onnx_NodeProto, _ name: String, _ source: Network.Source, _ weight: Tensor, bias: Tensor?
  ) throws(ONNXProblem) -> Network.Source {
    let shape = builder.shape(of: source)
    guard weight.shape[1] == shape.count, shape.area == 1 else {
      throw ONNXProblem("weights \(weight.shape) don't go with \(shape)")
    }
    let layer = Linear(outputFeatures: weight.shape[0], bias: bias != nil)
    let arrays = [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
    return try add(Self.layer(of: node.input[1], or: name), layer, [source], arrays)
  }

  mutating func batchNorm(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    let source = try features(node.input[0])
    let names = ["weight", "bias", "running_mean", "running_var"]
    var arrays: [(String, Tensor)] = []
    for (name, input) in zip(names, node.input.dropFirst()) {
      guard let array = constant(input) else { throw ONNXProblem("expects \(name) as a constant") }
      arrays.append((name, array))
    }
    let layer = BatchNorm2d(epsilon: attributes.number("epsilon", 1e-5))
    return .features(try add(Self.layer(of: node.input[1], or: name), layer, [source], arrays))
  }

  mutating func pool(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    let source = try features(node.input[0])
    let shape = builder.shape(of: source)
    try checkPadding(attributes)
    let kernel = try attributes.extents("kernel_shape", [0, 0])
    let (stride, dilation) = (
      try attributes.extents("strides", [1, 1]), try attributes.extents("dilations", [1, 1])
    )
    let pads = try attributes.extents("pads", [0, 0, 0, 0])
    guard (kernel + stride + dilation).allSatisfy({ $0 > 0 }) else {
      throw ONNXProblem("expects windows of some extent")
    }
    let counts = attributes.integer("count_include_pad", 0) == 1
    func layer(ceil: Bool) -> any Layer {
      let (kernel, stride) = (Size2D(kernel[0], kernel[1]), Size2D(stride[0], stride[1]))
      let padding = Size2D(pads[0], pads[1])
      if node.opType == "MaxPool" {
        return MaxPool2d(
          kernel: kernel, stride: stride, padding: padding, dilation: Size2D(dilation[0], dilation[1]),
          ceilMode: ceil)
      }
      return AvgPool2d(
        kernel: kernel, stride: stride, padding: padding, ceilMode: ceil, countIncludePad: counts)
    }
    if attributes.integer("ceil_mode", 0) == 1 {
      return .features(try add(name, layer(ceil: true), [source]))
    }
    // How many windows the file means: ours are as many in floor or in ceil mode, or it is no pool of ours.
    func extent(_ input: Int, _ axis: Int) -> Int {
      let reach = dilation[axis] * (kernel[axis] - 1) + 1
      let padded = input + pads[axis] + pads[axis + 2]
      return (padded - reach) / stride[axis] + 1
    }
    let extents: [Int] = [extent(shape.height, 0), extent(shape.width, 1)]
    for ceil in [false, true] {
      guard let output = try? layer(ceil: ceil).outputShape(of: [shape]),
        [output.height, output.width] == extents
      else {
        continue
      }
      return .features(try add(name, layer(ceil: ceil), [source]))
    }
    throw ONNXProblem("pads \(pads) are of no pool here")
  }

  /// Means over rows or columns as a product with a constant, or a linear layer of channels that lie behind.
  mutating func product(_ node: Onnx_NodeProto, _ name: String) throws(ONNXProblem) -> ONNXOperand {
    if let rows = constant(node.input[0]), rows.shape.rank == 2 {
      let source = try features(node.input[1])
      guard rows == AdaptiveAvgPool2d.means(of: builder.shape(of: source).height, over: rows.shape[0]) else {
        throw ONNXProblem("expects a product that takes means over rows")
      }
      return .overRows(source, windows: rows.shape[0])
    }
    guard let weight = constant(node.input[1]), weight.shape.rank == 2 else {
      throw ONNXProblem("expects a constant")
    }
    switch known[node.input[0]] {
    case .overRows(let source, let windows)?:
      let width = builder.shape(of: source).width
      guard weight.transposed() == AdaptiveAvgPool2d.means(of: width, over: weight.shape[1]) else {
        throw ONNXProblem("expects a product that takes means over columns")
      }
      return .features(
        try add(name, AdaptiveAvgPool2d(output: Size2D(windows, weight.shape[1])), [source]))
    case .features(let source, lastChannels: true)?:
      return .product(source, weight: weight.transposed(), name: Self.layer(of: node.input[1], or: name))
    default:
      return .features(try linear(node, name, try features(node.input[0]), weight.transposed(), bias: nil))
    }
  }

  /// A linear layer of channels that lie behind is a convolution by 1×1.
  mutating func behind(
    _ source: Network.Source, weight: Tensor, bias: Tensor, _ name: String
  ) throws(ONNXProblem) -> ONNXOperand {
    guard weight.shape[1] == builder.shape(of: source).channels, bias.values.count == weight.shape[0] else {
      throw ONNXProblem("weights \(weight.shape) don't go with \(builder.shape(of: source))")
    }
    let layer = Conv2d(outputChannels: weight.shape[0], kernel: 1)
    return .features(
      try add(name, layer, [source], [("weight", weight), ("bias", bias)]), lastChannels: true)
  }

  mutating func transposed(_ node: Onnx_NodeProto, _ attributes: ONNXAttributes) throws(ONNXProblem)
    -> ONNXOperand
  {
    let order = attributes["perm"]?.ints.map(Int.init) ?? []
    switch known[node.input[0]] {
    case .features(let source, lastChannels: false)? where order == [0, 2, 3, 1]:
      return .features(source, lastChannels: true)
    case .features(let source, lastChannels: true)? where order == [0, 3, 1, 2]: return .features(source)
    default: throw ONNXProblem("expects to put the channels last, or back, got \(order)")
    }
  }

  mutating func layerNorm(
    _ node: Onnx_NodeProto, _ name: String, _ attributes: ONNXAttributes
  ) throws(ONNXProblem) -> ONNXOperand {
    guard case .features(let source, let lastChannels)? = known[node.input[0]],
      let weight = constant(node.input[1]),
      lastChannels || builder.shape(of: source).area == 1, weight.shape.rank == 1,
      [-1, lastChannels ? 3 : 1].contains(attributes.integer("axis", -1))
    else { throw ONNXProblem("expects to normalise the channels, with constant weights") }
    let bias = node.input.count > 2 ? constant(node.input[2]) : nil
    let layer: LayerNorm
    do { layer = try LayerNorm(epsilon: attributes.number("epsilon", 1e-5)) } catch {
      throw ONNXProblem("\(error)")
    }
    let arrays = [("weight", weight), ("bias", bias ?? Tensor(shape: weight.shape))]
    return .features(
      try add(Self.layer(of: node.input[1], or: name), layer, [source], arrays), lastChannels: lastChannels)
  }

  private static let explicit = Foundation.Data("NOTSET".utf8)

  private func checkPadding(_ attributes: ONNXAttributes) throws(ONNXProblem) {
    guard let rule = attributes["auto_pad"], rule.s != Self.explicit else { return }
    throw ONNXProblem("expects pads that are written out (auto_pad NOTSET)")
  }
}

extension Tensor {
  /// (columns, rows) of (rows, columns).
  func transposed() -> Tensor {
    let (rows, columns) = (shape[0], shape[1])
    var turned = Tensor(shape: [columns, rows])
    for row in 0..<rows {
      for column in 0..<columns { turned.values[column * rows + row] = values[row * columns + column] }
    }
    return turned
  }
}
