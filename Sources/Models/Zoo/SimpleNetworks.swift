import Layers

extension ModelZoo {
  static let simpleEntries = [
    Entry(
      "seed_cnn", nil, "three blocks of 3×3 convolution, batch norm, ReLU, 2×2 max pool; 256 units; dropout",
      size: 64, build: seedCNN),
    Entry(
      "lenet5",
      Paper("LeCun et al.", "Gradient-based learning applied to document recognition", 1998),
      "two 5×5 convolutions and three linear layers, with ReLU and max pooling", channels: 1, size: 28,
      build: leNet5),
  ]

  /// Three blocks of convolution, batch norm, ReLU and max pooling, then two linear layers: the network
  /// that this project grew from. Initialised as PyTorch initialises.
  @Sendable
  private static func seedCNN(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let initialisation = options.initialisation ?? .pytorch
    for (number, channels) in [32, 64, 128].enumerated() {
      let block = "block\(number + 1)"
      try network.add(
        "\(block).conv",
        Conv2d(outputChannels: channels, kernel: 3, padding: .explicit(1), initialisation: initialisation))
      try network.add("\(block).norm", BatchNorm2d())
      try network.add("\(block).relu", ReLU())
      try network.add("\(block).pool", MaxPool2d(kernel: 2))
    }
    try network.add("flatten", Flatten())
    try network.add("hidden", Linear(outputFeatures: 256, initialisation: initialisation))
    try network.add("relu", ReLU())
    try network.add("dropout", dropout(options.dropout ?? 0.5, number: 0))
    try network.add("classifier", Linear(outputFeatures: options.classes, initialisation: initialisation))
  }

  /// LeNet-5 as it is taught today: 5×5 convolutions with 6 and 16 channels (the first padded by 2),
  /// max pooling, 120 and 84 units, ReLU.
  @Sendable
  private static func leNet5(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let initialisation = options.initialisation ?? .pytorch
    try network.add(
      "conv1", Conv2d(outputChannels: 6, kernel: 5, padding: .explicit(2), initialisation: initialisation))
    try network.add("relu1", ReLU())
    try network.add("pool1", MaxPool2d(kernel: 2))
    try network.add("conv2", Conv2d(outputChannels: 16, kernel: 5, initialisation: initialisation))
    try network.add("relu2", ReLU())
    try network.add("pool2", MaxPool2d(kernel: 2))
    try network.add("flatten", Flatten())
    try network.add("fc1", Linear(outputFeatures: 120, initialisation: initialisation))
    try network.add("relu3", ReLU())
    try network.add("fc2", Linear(outputFeatures: 84, initialisation: initialisation))
    try network.add("relu4", ReLU())
    try network.add("fc3", Linear(outputFeatures: options.classes, initialisation: initialisation))
  }
}
