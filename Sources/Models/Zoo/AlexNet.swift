import Layers

extension ModelZoo {
  static let alexNetEntries = [
    Entry(
      "alexnet",
      Paper(
        "Krizhevsky", "One weird trick for parallelizing convolutional neural networks", 2014,
        "arXiv:1404.5997"),
      "five convolutions, three of them pooled, and three linear layers (the net of 2012 on one device)",
      build: alexNet)
  ]

  /// As torchvision's: no local response norm, and a mean over 6×6 windows that lets any size in.
  @Sendable
  private static func alexNet(_ network: inout NetworkBuilder, _ options: Options) throws(NetworkError) {
    let initialisation = options.initialisation ?? .pytorch
    var number = 0
    func add(_ layer: any Layer) throws(NetworkError) {
      try network.add("features.\(number)", layer)
      number += 1
    }
    func convolution(_ channels: Int, kernel: Int, stride: Int = 1, padding: Int, pooled: Bool = false)
      throws(NetworkError)
    {
      try add(
        Conv2d(
          outputChannels: channels, kernel: Size2D(kernel), stride: Size2D(stride),
          padding: .explicit(Size2D(padding)), initialisation: initialisation))
      try add(ReLU())
      if pooled { try add(MaxPool2d(kernel: 3, stride: 2)) }
    }
    try convolution(64, kernel: 11, stride: 4, padding: 2, pooled: true)
    try convolution(192, kernel: 5, padding: 2, pooled: true)
    try convolution(384, kernel: 3, padding: 1)
    try convolution(256, kernel: 3, padding: 1)
    try convolution(256, kernel: 3, padding: 1, pooled: true)
    try network.add("avgpool", AdaptiveAvgPool2d(output: 6))
    try network.add("flatten", Flatten())
    try network.add("classifier.0", dropout(options.dropout ?? 0.5, number: 0))
    try network.add("classifier.1", Linear(outputFeatures: 4096, initialisation: initialisation))
    try network.add("classifier.2", ReLU())
    try network.add("classifier.3", dropout(options.dropout ?? 0.5, number: 1))
    try network.add("classifier.4", Linear(outputFeatures: 4096, initialisation: initialisation))
    try network.add("classifier.5", ReLU())
    try network.add("classifier.6", Linear(outputFeatures: options.classes, initialisation: initialisation))
  }
}
