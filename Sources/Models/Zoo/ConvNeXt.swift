import Layers

extension ModelZoo {
  static let convNeXtEntries = [
    Entry(
      "convnext_tiny", Paper("Liu et al.", "A ConvNet for the 2020s", 2022, "arXiv:2201.03545"),
      "stages of 3, 3, 9 and 3 blocks: 7×7 by channel, layer norm, GELU between 1×1 convolutions",
      build: convNeXtTiny)
  ]

  /// As torchvision's: a stem of 4×4 patches; four stages of 96 to 768 channels, between them a layer norm and
  /// 2×2 patches.
  @Sendable
  private static func convNeXtTiny(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let rule = options.initialisation ?? .normal(0.02)
    let depths = [3, 3, 9, 3]
    let total = depths.reduce(0, +)
    try network.add(
      "features.0.0", Conv2d(outputChannels: 96, kernel: 4, stride: 4, initialisation: rule))
    try network.add("features.0.1", layerNorm())
    var done = 0
    for (stage, depth) in depths.enumerated() {
      for block in 0..<depth {
        try addConvNeXtBlock(
          "features.\(2 * stage + 1).\(block)", to: &network, rule,
          dropping: stochasticDepth(options.stochasticDepth ?? 0.1, number: done, of: total - 1))
        done += 1
      }
      guard stage + 1 < depths.count else { continue }
      let name = "features.\(2 * stage + 2)"
      try network.add("\(name).0", layerNorm())
      try network.add(
        "\(name).1", Conv2d(outputChannels: 192 << stage, kernel: 2, stride: 2, initialisation: rule))
    }
    try network.add("avgpool", AdaptiveAvgPool2d())
    try network.add("classifier.0", layerNorm())
    try network.add("classifier.1", Flatten())
    try network.add("classifier.2", Linear(outputFeatures: options.classes, initialisation: rule))
  }

  private static func layerNorm() throws(NetworkError) -> LayerNorm {
    do {
      return try LayerNorm(epsilon: 1e-6)
    } catch {
      throw NetworkError(error.description)
    }
  }

  private static func addConvNeXtBlock(
    _ name: String, to network: inout NetworkBuilder, _ rule: WeightInitialisation, dropping: StochasticDepth
  ) throws(NetworkError) {
    let input = network.last
    let channels = network.shape(of: input).channels
    /// torchvision has linear layers on each pixel.
    func linear(_ channels: Int) -> Conv2d {
      var convolution = Conv2d(outputChannels: channels, kernel: 1, initialisation: rule)
      convolution.weightIsMatrix = true
      return convolution
    }
    try network.add(
      "\(name).block.0",
      Conv2d(
        outputChannels: channels, kernel: 7, padding: .explicit(3), groups: channels, initialisation: rule))
    try network.add("\(name).block.2", layerNorm())
    try network.add("\(name).block.3", linear(4 * channels))
    try network.add("\(name).block.4", GELU())
    try network.add("\(name).block.5", linear(channels))
    do {
      try network.add(name, LayerScale(initialValue: 1e-6))
    } catch let error as LayerError {
      throw NetworkError(error.description)
    } catch {
      throw NetworkError("\(error)")
    }
    try network.add("\(name).stochastic_depth", dropping)
    try network.add("\(name).add", Add(), from: network.last, input)
  }
}
