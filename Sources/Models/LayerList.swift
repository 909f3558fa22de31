import Layers

/// Networks written as a list of layers, as `model.layers` of a configuration holds it.
///
/// An item is the name of a layer (`relu`), or a map with one key: the name, and its settings under it
/// (`conv2d: {channels: 32, kernel: 3, padding: same}`). Every layer takes `name` (default: its number
/// in the list, as in PyTorch's `nn.Sequential`) and `input` (default: the layer before; `image` for the
/// images); `add`, `concat` and `multiply` take `inputs`, a list of names.
package enum LayerList {
  /// Builds the network. Throws `NetworkError` that names the item.
  package static func network(
    _ items: [ConfigValue], input: FeatureShape, classes: Int, initialisation: WeightInitialisation?
  ) throws(NetworkError) -> Network {
    var builder = NetworkBuilder(input: input)
    var dropouts = 0
    for (number, item) in items.enumerated() {
      do {
        var arguments = try self.arguments(of: item)
        let name = try arguments.text("name") ?? "\(number)"
        let layer = try layer(&arguments, classes: classes, initialisation ?? .pytorch, &dropouts)
        let inputs = try sources(&arguments, in: builder, joins: layer.inputCount != 1)
        try arguments.finish()
        try builder.add(name, layer, inputs: inputs)
      } catch {
        throw NetworkError("model.layers[\(number)]: \(error)")
      }
    }
    return try builder.build()
  }

  /// The names of layers that a list may use.
  package static let kinds = [
    "conv2d", "batch_norm2d", "relu", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "linear", "dropout",
    "flatten", "add", "concat", "relu6", "silu", "hardswish", "hardsigmoid", "gelu", "sigmoid", "tanh",
    "leaky_relu", "multiply", "layer_scale", "stochastic_depth", "layer_norm", "group_norm",
    "local_response_norm", "softmax",
  ]

  private static func arguments(of item: ConfigValue) throws(NetworkError) -> LayerArguments {
    switch item {
    case .text(let kind): return LayerArguments(kind: kind, values: [:])
    case .map(let map):
      guard let (kind, settings) = map.first, map.count == 1 else {
        throw NetworkError("expects one layer with its settings, got keys \(map.keys.sorted())")
      }
      switch settings {
      case .null: return LayerArguments(kind: kind, values: [:])
      case .map(let values): return LayerArguments(kind: kind, values: values)
      default: throw NetworkError("\(kind) expects a map of settings, got \(settings)")
      }
    default: throw NetworkError("expects the name of a layer or a map, got \(item)")
    }
  }

  private static func layer(
    _ arguments: inout LayerArguments, classes: Int, _ initialisation: WeightInitialisation,
    _ dropouts: inout Int
  ) throws(NetworkError) -> any Layer {
    switch arguments.kind {
    case "conv2d":
      let channels = try arguments.integer("channels")
      let kernel = try arguments.pair("kernel")
      let stride = try arguments.pair("stride", default: 1)
      let padding = try arguments.pairOrSame("padding", default: 0)
      let dilation = try arguments.pair("dilation", default: 1)
      return Conv2d(
        outputChannels: channels, kernel: kernel, stride: stride,
        padding: padding.map { .explicit($0) } ?? .same,
        dilation: dilation, groups: try arguments.integer("groups", default: 1),
        bias: try arguments.flag("bias", default: true), initialisation: initialisation,
        algorithm: try algorithm(&arguments))
    case "batch_norm2d":
      return BatchNorm2d(
        epsilon: Float(try arguments.number("epsilon", default: 1e-5)),
        momentum: Float(try arguments.number("momentum", default: 0.1)),
        affine: try arguments.flag("affine", default: true))
    case "relu": return ReLU()
    case "max_pool2d":
      let kernel = try arguments.pair("kernel")
      return MaxPool2d(
        kernel: kernel, stride: try stride(&arguments, kernel),
        padding: try arguments.pair("padding", default: 0),
        dilation: try arguments.pair("dilation", default: 1),
        ceilMode: try arguments.flag("ceil_mode", default: false))
    case "avg_pool2d":
      let kernel = try arguments.pair("kernel")
      return AvgPool2d(
        kernel: kernel, stride: try stride(&arguments, kernel),
        padding: try arguments.pair("padding", default: 0),
        ceilMode: try arguments.flag("ceil_mode", default: false),
        countIncludePad: try arguments.flag("count_include_pad", default: true))
    case "adaptive_avg_pool2d": return AdaptiveAvgPool2d(output: try arguments.pair("output", default: 1))
    case "linear":
      return Linear(
        outputFeatures: try arguments.text("features") == "classes"
          ? classes : try arguments.integer("features"),
        bias: try arguments.flag("bias", default: true), initialisation: initialisation)
    case "dropout":
      defer { dropouts += 1 }
      return try ModelZoo.dropout(try arguments.number("p", default: 0.5), number: dropouts)
    case "flatten": return Flatten()
    case "add": return Add()
    case "concat": return Concat()
    case "stochastic_depth":
      defer { dropouts += 1 }
      let probability = Float(try arguments.number("p", default: 0.2))
      return try refusing { () throws(LayerError) in
        try StochasticDepth(probability: probability, number: dropouts)
      }
    case "layer_norm", "group_norm", "local_response_norm": return try norm(&arguments)
    default: return try elementwise(&arguments)
    }
  }

  private static func norm(_ arguments: inout LayerArguments) throws(NetworkError) -> any Layer {
    if arguments.kind == "local_response_norm" {
      let size = try arguments.integer("size")
      let alpha = Float(try arguments.number("alpha", default: 1e-4))
      let beta = Float(try arguments.number("beta", default: 0.75))
      let k = Float(try arguments.number("k", default: 1))
      return try refusing { () throws(LayerError) in
        try LocalResponseNorm(size: size, alpha: alpha, beta: beta, k: k)
      }
    }
    let epsilon = Float(try arguments.number("epsilon", default: 1e-5))
    let affine = try arguments.flag("affine", default: true)
    guard arguments.kind == "group_norm" else {
      return try refusing { () throws(LayerError) in try LayerNorm(epsilon: epsilon, affine: affine) }
    }
    let groups = try arguments.integer("groups")
    return try refusing { () throws(LayerError) in
      try GroupNorm(groups: groups, epsilon: epsilon, affine: affine)
    }
  }

  private static func elementwise(_ arguments: inout LayerArguments) throws(NetworkError) -> any Layer {
    switch arguments.kind {
    case "relu6": return ReLU6()
    case "silu": return SiLU()
    case "hardswish": return Hardswish()
    case "hardsigmoid": return Hardsigmoid()
    case "gelu":
      let name = try arguments.text("approximate") ?? "none"
      guard let approximate = GELU.Approximation(rawValue: name) else {
        throw NetworkError("gelu.approximate expects none or tanh, got \"\(name)\"")
      }
      return GELU(approximate: approximate)
    case "sigmoid": return Sigmoid()
    case "tanh": return Tanh()
    case "leaky_relu":
      let slope = Float(try arguments.number("negative_slope", default: 0.01))
      return try refusing { () throws(LayerError) in try LeakyReLU(negativeSlope: slope) }
    case "softmax": return Softmax()
    case "multiply": return Multiply()
    case "layer_scale":
      let initial = Float(try arguments.number("initial", default: 1e-6))
      return try refusing { () throws(LayerError) in try LayerScale(initialValue: initial) }
    default:
      throw NetworkError(
        "no layer is named \"\(arguments.kind)\"; there are \(kinds.joined(separator: ", "))")
    }
  }

  /// A layer's refusal of its hyper-parameters as one of the network.
  private static func refusing<L: Layer>(_ make: () throws(LayerError) -> L) throws(NetworkError) -> L {
    do { return try make() } catch { throw NetworkError("\(error)") }
  }

  private static func algorithm(_ arguments: inout LayerArguments) throws(NetworkError) -> ConvolutionChoice {
    guard let name = try arguments.text("algorithm") else { return .auto }
    guard let choice = ConvolutionChoice(rawValue: name) else {
      let names = ConvolutionChoice.allCases.map(\.rawValue).joined(separator: ", ")
      throw NetworkError("conv2d.algorithm expects one of \(names), got \"\(name)\"")
    }
    return choice
  }

  /// Pooling strides default to the kernel's size.
  private static func stride(_ arguments: inout LayerArguments, _ kernel: Size2D)
    throws(NetworkError) -> Size2D
  {
    let stride = try arguments.pair("stride", default: 0)
    return stride == 0 ? kernel : stride
  }

  private static func sources(_ arguments: inout LayerArguments, in builder: NetworkBuilder, joins: Bool)
    throws(NetworkError) -> [Network.Source]
  {
    var sources: [Network.Source] = []
    for name in try arguments.names(joins ? "inputs" : "input") {
      if name == "image" {
        sources.append(.image)
      } else if let source = builder.source(named: name) {
        sources.append(source)
      } else {
        throw NetworkError("no layer before it is named \"\(name)\"")
      }
    }
    return sources
  }
}
