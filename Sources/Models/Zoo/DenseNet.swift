import Layers

extension ModelZoo {
  static let denseNetEntries = [(121, [6, 12, 24, 16]), (169, [6, 12, 32, 32])].flatMap { layers, depths in
    [false, true].map { hasSmallStem in
      Entry(
        "densenet\(layers)\(hasSmallStem ? "_small" : "")",
        Paper("Huang et al.", "Densely Connected Convolutional Networks", 2016, "arXiv:1608.06993"),
        hasSmallStem
          ? "densenet\(layers) with a 3×3 stem, no first pool"
          : "blocks of \(depths.map(String.init).joined(separator: ", ")) layers, each adding 32 channels",
        size: hasSmallStem ? 32 : 224
      ) { network, options throws(NetworkError) in
        try denseNet(&network, options, depths: depths, hasSmallStem: hasSmallStem)
      }
    }
  }

  /// As torchvision's DenseNet-BC: a stem of 64 channels; blocks whose layers read all that came before them in
  /// the block; between blocks half the channels, half the height and width.
  private static func denseNet(
    _ network: inout NetworkBuilder, _ options: Options, depths: [Int], hasSmallStem: Bool
  ) throws(NetworkError) {
    let rule = options.initialisation ?? WeightInitialisation(.heByFanIn)
    let stem =
      hasSmallStem
      ? Conv2d(outputChannels: 64, kernel: 3, padding: .explicit(1), initialisation: rule)
      : Conv2d(outputChannels: 64, kernel: 7, stride: 2, padding: .explicit(3), initialisation: rule)
    try network.addNormed(("features.conv0", "features.norm0"), stem)
    try network.add("features.relu0", ReLU())
    if !hasSmallStem { try network.add("features.pool0", MaxPool2d(kernel: 3, stride: 2, padding: 1)) }
    for (block, depth) in depths.enumerated() {
      for layer in 1...depth {
        try addDenseLayer("features.denseblock\(block + 1)", layer, to: &network, rule)
      }
      guard block + 1 < depths.count else { continue }
      let (name, channels) = ("features.transition\(block + 1)", network.shape(of: network.last).channels)
      try network.add("\(name).norm", BatchNorm2d())
      try network.add("\(name).relu", ReLU())
      try network.add(
        "\(name).conv",
        Conv2d(outputChannels: channels / 2, kernel: 1, bias: false, initialisation: rule))
      try network.add("\(name).pool", AvgPool2d(kernel: 2))
    }
    try network.add("features.norm5", BatchNorm2d())
    try network.add("relu5", ReLU())
    try network.addPooledClassifier(
      "classifier", classes: options.classes, options.initialisation ?? WeightInitialisation(.uniformByFanIn))
  }

  /// 1×1 to 128 channels and 3×3 to 32, each behind batch norm and ReLU, joined to what they read.
  private static func addDenseLayer(
    _ block: String, _ number: Int, to network: inout NetworkBuilder, _ rule: WeightInitialisation
  ) throws(NetworkError) {
    let (name, input) = ("\(block).denselayer\(number)", network.last)
    try network.add("\(name).norm1", BatchNorm2d())
    try network.add("\(name).relu1", ReLU())
    try network.addNormed(
      ("\(name).conv1", "\(name).norm2"), Conv2d(outputChannels: 128, kernel: 1, initialisation: rule))
    try network.add("\(name).relu2", ReLU())
    let grown = try network.add(
      "\(name).conv2",
      Conv2d(outputChannels: 32, kernel: 3, padding: .explicit(1), bias: false, initialisation: rule))
    try network.add("\(block).concat\(number)", Concat(), from: input, grown)
  }
}
