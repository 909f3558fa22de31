import Layers

extension ModelZoo {
  private static let heEtAl = Paper(
    "He et al.", "Deep Residual Learning for Image Recognition", 2015, "arXiv:1512.03385")

  static let resNetEntries: [Entry] = [
    ResNet("resnet18", heEtAl, "four stages of two basic blocks", .basic, [2, 2, 2, 2]),
    ResNet("resnet34", heEtAl, "stages of 3, 4, 6 and 3 basic blocks", .basic, [3, 4, 6, 3]),
    ResNet("resnet50", heEtAl, "stages of 3, 4, 6 and 3 bottlenecks", .bottleneck(), [3, 4, 6, 3]),
    ResNet("resnet101", heEtAl, "stages of 3, 4, 23 and 3 bottlenecks", .bottleneck(), [3, 4, 23, 3]),
    ResNet(
      "resnext50_32x4d",
      Paper(
        "Xie et al.", "Aggregated Residual Transformations for Deep Neural Networks", 2016, "arXiv:1611.05431"
      ),
      "ResNet-50 with 32 groups of 4 channels", .bottleneck(groups: 32, widthPerGroup: 4), [3, 4, 6, 3]),
    ResNet(
      "wide_resnet50_2", Paper("Zagoruyko & Komodakis", "Wide Residual Networks", 2016, "arXiv:1605.07146"),
      "ResNet-50 with bottlenecks twice as wide", .bottleneck(widthPerGroup: 128), [3, 4, 6, 3]),
  ].flatMap { [$0.entry(hasSmallStem: false), $0.entry(hasSmallStem: true)] }
}

/// Residual networks as torchvision defines them: a stem, four stages of blocks beside shortcuts, each stage
/// of half the height and width, and a linear layer on the mean.
private struct ResNet: Sendable {
  enum Block: Sendable {
    /// Two 3×3 convolutions.
    case basic
    /// 1×1, 3×3 in groups (with the block's stride, "ResNet v1.5"), 1×1 to four times the stage's channels.
    case bottleneck(groups: Int = 1, widthPerGroup: Int = 64)
  }

  let name: String
  let paper: ModelZoo.Paper
  let summary: String
  let block: Block
  let depths: [Int]

  init(_ name: String, _ paper: ModelZoo.Paper, _ summary: String, _ block: Block, _ depths: [Int]) {
    (self.name, self.paper, self.summary, self.block, self.depths) = (name, paper, summary, block, depths)
  }

  func entry(hasSmallStem: Bool) -> ModelZoo.Entry {
    ModelZoo.Entry(
      hasSmallStem ? name + "_small" : name, paper,
      hasSmallStem ? "\(name) with a 3×3 stem, no first pool" : summary,
      size: hasSmallStem ? 32 : 224
    ) { network, options throws(NetworkError) in
      try build(&network, options, hasSmallStem: hasSmallStem)
    }
  }

  private func build(
    _ network: inout NetworkBuilder, _ options: ModelZoo.Options, hasSmallStem: Bool
  ) throws(NetworkError) {
    let initialisation = options.initialisation ?? .he
    let stem =
      hasSmallStem
      ? Conv2d(outputChannels: 64, kernel: 3, padding: .explicit(1), initialisation: initialisation)
      : Conv2d(
        outputChannels: 64, kernel: 7, stride: 2, padding: .explicit(3), initialisation: initialisation)
    try network.addNormed(("conv1", "bn1"), stem)
    try network.add("relu", ReLU())
    if !hasSmallStem { try network.add("maxpool", MaxPool2d(kernel: 3, stride: 2, padding: 1)) }
    for (stage, depth) in depths.enumerated() {
      for number in 0..<depth {
        try add(
          "layer\(stage + 1).\(number)", to: &network, channels: 64 << stage,
          stride: stage > 0 && number == 0 ? 2 : 1, initialisation)
      }
    }
    try network.addPooledClassifier("fc", classes: options.classes, options.initialisation ?? .pytorch)
  }

  /// A block beside its shortcut, which is a 1×1 convolution where the shape changes.
  private func add(
    _ name: String, to network: inout NetworkBuilder, channels: Int, stride: Int,
    _ initialisation: WeightInitialisation
  ) throws(NetworkError) {
    func convolution(_ kernel: Int, to channels: Int, stride: Int = 1, groups: Int = 1) -> Conv2d {
      Conv2d(
        outputChannels: channels, kernel: Size2D(kernel), stride: Size2D(stride),
        padding: .explicit(Size2D(kernel / 2)), groups: groups, initialisation: initialisation)
    }
    let convolutions =
      switch block {
      case .basic: [convolution(3, to: channels, stride: stride), convolution(3, to: channels)]
      case .bottleneck(let groups, let widthPerGroup):
        [
          convolution(1, to: channels * widthPerGroup / 64 * groups),
          convolution(3, to: channels * widthPerGroup / 64 * groups, stride: stride, groups: groups),
          convolution(1, to: 4 * channels),
        ]
      }
    let input = network.last
    for (number, convolution) in convolutions.enumerated() {
      if number > 0 { try network.add("\(name).relu\(number)", ReLU()) }
      try network.addNormed(("\(name).conv\(number + 1)", "\(name).bn\(number + 1)"), convolution)
    }
    let main = network.last
    var shortcut = input
    if network.shape(of: input) != network.shape(of: main) {
      shortcut = try network.addNormed(
        ("\(name).downsample.0", "\(name).downsample.1"),
        convolution(1, to: network.shape(of: main).channels, stride: stride), from: input)
    }
    try network.add("\(name).add", Add(), from: main, shortcut)
    try network.add("\(name).relu\(convolutions.count)", ReLU())
  }
}
