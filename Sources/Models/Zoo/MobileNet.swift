import Layers

extension ModelZoo {
  private static let sandlerEtAl = Paper(
    "Sandler et al.", "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, "arXiv:1801.04381")
  private static let howardEtAl = Paper(
    "Howard et al.", "Searching for MobileNetV3", 2019, "arXiv:1905.02244")

  static let mobileNetEntries = [
    Entry("mobilenet_v2", sandlerEtAl, "17 inverted residuals, ReLU6") {
      network, options throws(NetworkError) in
      try mobileNetV2(&network, options, stride: 2)
    },
    Entry("mobilenet_v2_small", sandlerEtAl, "mobilenet_v2 with a stem without stride", size: 32) {
      network, options throws(NetworkError) in try mobileNetV2(&network, options, stride: 1)
    },
    Entry("mobilenet_v3_small", howardEtAl, "11 inverted residuals, hardswish, squeeze-and-excitation") {
      network, options throws(NetworkError) in try smallMobileNetV3.build(&network, options)
    },
    Entry("mobilenet_v3_large", howardEtAl, "15 inverted residuals, hardswish, squeeze-and-excitation") {
      network, options throws(NetworkError) in try largeMobileNetV3.build(&network, options)
    },
  ]

  private static func mobileNetV2(_ network: inout NetworkBuilder, _ options: Options, stride: Int)
    throws(NetworkError)
  {
    let rule = options.initialisation ?? .he
    /// Expansion, channels, blocks, stride of the first.
    let stages = [
      (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
      (6, 320, 1, 1),
    ]
    try network.addNormed(
      ("features.0.0", "features.0.1"),
      Conv2d(
        outputChannels: 32, kernel: 3, stride: Size2D(stride), padding: .explicit(1), initialisation: rule))
    try network.add("features.0.2", ReLU6())
    var number = 1
    for (expansion, channels, blocks, stride) in stages {
      for block in 0..<blocks {
        let input = network.shape(of: network.last).channels
        let residual = InvertedResidual(
          activation: ReLU6(), excitation: (ReLU(), Sigmoid()), norm: BatchNorm2d(), initialisation: rule,
          kernel: 3, stride: block == 0 ? stride : 1, expanded: expansion * input, squeezed: nil,
          output: channels, isFlat: true)
        try residual.add("features.\(number)", "features.\(number).conv", to: &network)
        number += 1
      }
    }
    try network.addNormed(
      ("features.18.0", "features.18.1"), Conv2d(outputChannels: 1280, kernel: 1, initialisation: rule))
    try network.add("features.18.2", ReLU6())
    try network.add("avgpool", AdaptiveAvgPool2d())
    try network.add("flatten", Flatten())
    try network.add("classifier.0", dropout(options.dropout ?? 0.2, number: 0))
    try network.add(
      "classifier.1",
      Linear(outputFeatures: options.classes, initialisation: options.initialisation ?? .normal(0.01)))
  }

  private static let smallMobileNetV3 = MobileNetV3(
    blocks: [
      .init(3, 16, 16, true, .relu, 2), .init(3, 72, 24, false, .relu, 2), .init(3, 88, 24, false, .relu, 1),
      .init(5, 96, 40, true, .hardswish, 2), .init(5, 240, 40, true, .hardswish, 1),
      .init(5, 240, 40, true, .hardswish, 1), .init(5, 120, 48, true, .hardswish, 1),
      .init(5, 144, 48, true, .hardswish, 1), .init(5, 288, 96, true, .hardswish, 2),
      .init(5, 576, 96, true, .hardswish, 1), .init(5, 576, 96, true, .hardswish, 1),
    ], hidden: 1024)

  private static let largeMobileNetV3 = MobileNetV3(
    blocks: [
      .init(3, 16, 16, false, .relu, 1), .init(3, 64, 24, false, .relu, 2), .init(3, 72, 24, false, .relu, 1),
      .init(5, 72, 40, true, .relu, 2), .init(5, 120, 40, true, .relu, 1), .init(5, 120, 40, true, .relu, 1),
      .init(3, 240, 80, false, .hardswish, 2), .init(3, 200, 80, false, .hardswish, 1),
      .init(3, 184, 80, false, .hardswish, 1), .init(3, 184, 80, false, .hardswish, 1),
      .init(3, 480, 112, true, .hardswish, 1), .init(3, 672, 112, true, .hardswish, 1),
      .init(5, 672, 160, true, .hardswish, 2), .init(5, 960, 160, true, .hardswish, 1),
      .init(5, 960, 160, true, .hardswish, 1),
    ], hidden: 1280)
}

/// MobileNetV3 as torchvision defines it, tables 1 and 2 of the paper.
private struct MobileNetV3: Sendable {
  struct Block: Sendable {
    enum Nonlinearity { case relu, hardswish }

    let kernel: Int
    let expanded: Int
    let output: Int
    let excites: Bool
    let nonlinearity: Nonlinearity
    let stride: Int

    init(
      _ kernel: Int, _ expanded: Int, _ output: Int, _ excites: Bool, _ nonlinearity: Nonlinearity,
      _ stride: Int
    ) {
      (self.kernel, self.expanded, self.output) = (kernel, expanded, output)
      (self.excites, self.nonlinearity, self.stride) = (excites, nonlinearity, stride)
    }
  }

  let blocks: [Block]
  /// Units of the layer before the class scores.
  let hidden: Int

  func build(_ network: inout NetworkBuilder, _ options: ModelZoo.Options) throws(NetworkError) {
    let rule = options.initialisation ?? .he
    let norm = BatchNorm2d(epsilon: 0.001, momentum: 0.01)
    try network.addNormed(
      ("features.0.0", "features.0.1"),
      Conv2d(outputChannels: 16, kernel: 3, stride: 2, padding: .explicit(1), initialisation: rule), norm)
    try network.add("features.0.2", Hardswish())
    for (number, block) in blocks.enumerated() {
      let residual = InvertedResidual(
        activation: block.nonlinearity == .relu ? ReLU() : Hardswish(), excitation: (ReLU(), Hardsigmoid()),
        norm: norm, initialisation: rule, kernel: block.kernel, stride: block.stride,
        expanded: block.expanded,
        squeezed: block.excites ? InvertedResidual.channels(Double(block.expanded / 4)) : nil,
        output: block.output, isFlat: false)
      try residual.add("features.\(number + 1)", "features.\(number + 1).block", to: &network)
    }
    let last = "features.\(blocks.count + 1)"
    let channels = 6 * network.shape(of: network.last).channels
    try network.addNormed(
      ("\(last).0", "\(last).1"), Conv2d(outputChannels: channels, kernel: 1, initialisation: rule), norm)
    try network.add("\(last).2", Hardswish())
    try network.add("avgpool", AdaptiveAvgPool2d())
    try network.add("flatten", Flatten())
    let linear = options.initialisation ?? .normal(0.01)
    try network.add("classifier.0", Linear(outputFeatures: hidden, initialisation: linear))
    try network.add("classifier.1", Hardswish())
    try network.add("classifier.2", ModelZoo.dropout(options.dropout ?? 0.2, number: 0))
    try network.add("classifier.3", Linear(outputFeatures: options.classes, initialisation: linear))
  }
}
