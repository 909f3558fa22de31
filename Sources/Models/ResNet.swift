import Layers

extension ModelZoo {
  /// torchvision's `resnet18`: 7×7 stem with stride 2, max pool, four stages of two basic blocks.
  static func resNet18(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let initialisation = options.initialisation ?? .he
    try network.add(
      "conv1",
      Conv2d(
        outputChannels: 64, kernel: 7, stride: 2, padding: .explicit(3), bias: false,
        initialisation: initialisation))
    try network.add("bn1", BatchNorm2d())
    try network.add("relu", ReLU())
    try network.add("maxpool", MaxPool2d(kernel: 3, stride: 2, padding: 1))
    try addStages(&network, options)
  }

  /// `resnet18` for small crops: a 3×3 stem with stride 1 and no first pool, as is usual on CIFAR-10.
  static func resNet18Small(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let initialisation = options.initialisation ?? .he
    try network.add(
      "conv1",
      Conv2d(
        outputChannels: 64, kernel: 3, padding: .explicit(1), bias: false, initialisation: initialisation))
    try network.add("bn1", BatchNorm2d())
    try network.add("relu", ReLU())
    try addStages(&network, options)
  }

  private static func addStages(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    for (stage, channels) in [64, 128, 256, 512].enumerated() {
      for block in 0..<2 {
        try addBasicBlock(
          &network, "layer\(stage + 1).\(block)", channels: channels, stride: stage > 0 && block == 0 ? 2 : 1,
          initialisation: options.initialisation ?? .he)
      }
    }
    try network.add("avgpool", AdaptiveAvgPool2d())
    try network.add("flatten", Flatten())
    try network.add(
      "fc", Linear(outputFeatures: options.classes, initialisation: options.initialisation ?? .pytorch))
  }

  /// Two 3×3 convolutions beside a shortcut, which is a 1×1 convolution where the shape changes.
  private static func addBasicBlock(
    _ network: inout NetworkBuilder, _ name: String, channels: Int, stride: Int,
    initialisation: WeightInitialisation
  ) throws(NetworkError) {
    let input = network.last
    try network.add(
      "\(name).conv1",
      Conv2d(
        outputChannels: channels, kernel: 3, stride: Size2D(stride), padding: .explicit(1), bias: false,
        initialisation: initialisation))
    try network.add("\(name).bn1", BatchNorm2d())
    try network.add("\(name).relu1", ReLU())
    try network.add(
      "\(name).conv2",
      Conv2d(
        outputChannels: channels, kernel: 3, padding: .explicit(1), bias: false,
        initialisation: initialisation))
    let main = try network.add("\(name).bn2", BatchNorm2d())
    var shortcut = input
    if stride != 1 || network.shape(of: input).channels != channels {
      try network.add(
        "\(name).downsample.0",
        Conv2d(
          outputChannels: channels, kernel: 1, stride: Size2D(stride), bias: false,
          initialisation: initialisation), from: input)
      shortcut = try network.add("\(name).downsample.1", BatchNorm2d())
    }
    try network.add("\(name).add", Add(), from: main, shortcut)
    try network.add("\(name).relu2", ReLU())
  }
}
