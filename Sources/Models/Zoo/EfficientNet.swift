import Layers

extension ModelZoo {
  static let efficientNetEntries = [
    EfficientNet(number: 0, width: 1, depth: 1, dropout: 0.2, size: 224),
    EfficientNet(number: 1, width: 1, depth: 1.1, dropout: 0.2, size: 240),
    EfficientNet(number: 2, width: 1.1, depth: 1.2, dropout: 0.3, size: 288),
  ].flatMap { [$0.entry(hasSmallStem: false), $0.entry(hasSmallStem: true)] }
}

/// EfficientNet as torchvision defines it: inverted residuals with SiLU and squeeze-and-excitation, wider and
/// deeper by the number.
private struct EfficientNet: Sendable {
  let number: Int
  let width: Double
  let depth: Double
  let dropout: Double
  let size: Int

  /// Expansion, kernel, stride of the first block, channels, blocks (table 1 of the paper).
  private static let stages = [
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
  ]

  func entry(hasSmallStem: Bool) -> ModelZoo.Entry {
    let name = "efficientnet_b\(number)"
    return ModelZoo.Entry(
      hasSmallStem ? name + "_small" : name,
      ModelZoo.Paper(
        "Tan & Le", "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
        "arXiv:1905.11946"),
      hasSmallStem
        ? "\(name) with a stem without stride"
        : "inverted residuals with SiLU and squeeze-and-excitation, \(width) as wide, \(depth) as deep",
      size: hasSmallStem ? 32 : size
    ) { network, options throws(NetworkError) in
      try build(&network, options, stride: hasSmallStem ? 1 : 2)
    }
  }

  private func blocks(_ count: Int) -> Int { Int((Double(count) * depth).rounded(.up)) }

  private func channels(_ count: Int) -> Int { InvertedResidual.channels(Double(count) * width) }

  private func build(_ network: inout NetworkBuilder, _ options: ModelZoo.Options, stride: Int)
    throws(NetworkError)
  {
    let rule = options.initialisation ?? .he
    try network.addNormed(
      ("features.0.0", "features.0.1"),
      Conv2d(
        outputChannels: channels(32), kernel: 3, stride: Size2D(stride), padding: .explicit(1),
        initialisation: rule))
    try network.add("features.0.2", SiLU())
    let total = Self.stages.reduce(0) { $0 + blocks($1.4) }
    var done = 0
    for (stage, (expansion, kernel, stride, output, count)) in Self.stages.enumerated() {
      for block in 0..<blocks(count) {
        let input = network.shape(of: network.last).channels
        let residual = InvertedResidual(
          activation: SiLU(), excitation: (SiLU(), Sigmoid()), norm: BatchNorm2d(), initialisation: rule,
          kernel: kernel, stride: block == 0 ? stride : 1,
          expanded: InvertedResidual.channels(Double(input * expansion)), squeezed: max(1, input / 4),
          output: channels(output), isFlat: false)
        let name = "features.\(stage + 1).\(block)"
        try residual.add(
          name, "\(name).block", to: &network,
          dropping: ModelZoo.stochasticDepth(options.stochasticDepth ?? 0.2, number: done, of: total))
        done += 1
      }
    }
    let last = "features.\(Self.stages.count + 1)"
    try network.addNormed(
      ("\(last).0", "\(last).1"),
      Conv2d(outputChannels: 4 * network.shape(of: network.last).channels, kernel: 1, initialisation: rule))
    try network.add("\(last).2", SiLU())
    try network.add("avgpool", AdaptiveAvgPool2d())
    try network.add("flatten", Flatten())
    try network.add("classifier.0", ModelZoo.dropout(options.dropout ?? dropout, number: 0))
    try network.add(
      "classifier.1",
      Linear(
        outputFeatures: options.classes,
        initialisation: options.initialisation ?? WeightInitialisation(.uniformByFanOut)))
  }
}
