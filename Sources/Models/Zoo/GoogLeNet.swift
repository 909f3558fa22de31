import Layers

extension ModelZoo {
  static let googLeNetEntries = [
    Entry(
      "googlenet", Paper("Szegedy et al.", "Going Deeper with Convolutions", 2014, "arXiv:1409.4842"),
      "nine inception modules, with batch norm, without auxiliary heads", build: googLeNet)
  ]

  /// Channels of an inception module's branches.
  private struct Inception {
    let one: Int
    let three: (reduced: Int, full: Int)
    let five: (reduced: Int, full: Int)
    let pooled: Int

    init(_ one: Int, _ threeReduced: Int, _ three: Int, _ fiveReduced: Int, _ five: Int, _ pooled: Int) {
      self.one = one
      self.three = (threeReduced, three)
      self.five = (fiveReduced, five)
      self.pooled = pooled
    }
  }

  /// As torchvision's, whose "5×5" branch is 3×3 (the weights that it publishes are so).
  @Sendable
  private static func googLeNet(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let modules: [(pool: MaxPool2d?, name: String, Inception)] = [
      (nil, "3a", Inception(64, 96, 128, 16, 32, 32)), (nil, "3b", Inception(128, 128, 192, 32, 96, 64)),
      (halving(3), "4a", Inception(192, 96, 208, 16, 48, 64)),
      (nil, "4b", Inception(160, 112, 224, 24, 64, 64)), (nil, "4c", Inception(128, 128, 256, 24, 64, 64)),
      (nil, "4d", Inception(112, 144, 288, 32, 64, 64)), (nil, "4e", Inception(256, 160, 320, 32, 128, 128)),
      (halving(2), "5a", Inception(256, 160, 320, 32, 128, 128)),
      (nil, "5b", Inception(384, 192, 384, 48, 128, 128)),
    ]
    let rule = options.initialisation ?? .normal(0.01)
    try addUnit("conv1", to: &network, 64, kernel: 7, stride: 2, rule)
    try network.add("maxpool1", halving(3))
    try addUnit("conv2", to: &network, 64, kernel: 1, rule)
    try addUnit("conv3", to: &network, 192, kernel: 3, rule)
    try network.add("maxpool2", halving(3))
    for (pool, name, module) in modules {
      if let pool { try network.add(name == "4a" ? "maxpool3" : "maxpool4", pool) }
      try add(module, "inception\(name)", to: &network, rule)
    }
    try network.add("avgpool", AdaptiveAvgPool2d())
    try network.add("flatten", Flatten())
    try network.add("dropout", dropout(options.dropout ?? 0.2, number: 0))
    let linear = WeightInitialisation(.normal(deviation: 0.01), bias: .uniformByFanIn)
    try network.add(
      "fc", Linear(outputFeatures: options.classes, initialisation: options.initialisation ?? linear))
  }

  private static func halving(_ kernel: Int) -> MaxPool2d {
    MaxPool2d(kernel: Size2D(kernel), stride: 2, ceilMode: true)
  }

  /// Convolution, batch norm, ReLU.
  @discardableResult
  private static func addUnit(
    _ name: String, to network: inout NetworkBuilder, _ channels: Int, kernel: Int, stride: Int = 1,
    _ initialisation: WeightInitialisation, from source: Network.Source? = nil
  ) throws(NetworkError) -> Network.Source {
    try network.addNormed(
      ("\(name).conv", "\(name).bn"),
      Conv2d(
        outputChannels: channels, kernel: Size2D(kernel), stride: Size2D(stride),
        padding: .explicit(Size2D(kernel / 2)), initialisation: initialisation),
      BatchNorm2d(epsilon: 0.001), from: source)
    return try network.add("\(name).relu", ReLU())
  }

  /// Four branches side by side, joined along the channels.
  private static func add(
    _ module: Inception, _ name: String, to network: inout NetworkBuilder, _ rule: WeightInitialisation
  ) throws(NetworkError) {
    let input = network.last
    let one = try addUnit("\(name).branch1", to: &network, module.one, kernel: 1, rule)
    try addUnit("\(name).branch2.0", to: &network, module.three.reduced, kernel: 1, rule, from: input)
    let three = try addUnit("\(name).branch2.1", to: &network, module.three.full, kernel: 3, rule)
    try addUnit("\(name).branch3.0", to: &network, module.five.reduced, kernel: 1, rule, from: input)
    let five = try addUnit("\(name).branch3.1", to: &network, module.five.full, kernel: 3, rule)
    try network.add(
      "\(name).branch4.0", MaxPool2d(kernel: 3, stride: 1, padding: 1, ceilMode: true), from: input)
    let pooled = try addUnit("\(name).branch4.1", to: &network, module.pooled, kernel: 1, rule)
    try network.add("\(name).concat", Concat(), from: one, three, five, pooled)
  }
}
