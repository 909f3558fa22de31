import Layers

extension ModelZoo {
  private static let simonyanAndZisserman = Paper(
    "Simonyan & Zisserman", "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014,
    "arXiv:1409.1556")

  /// Convolutions of each stage, by the number of layers with weights.
  private static let vggDepths = [
    (11, [1, 1, 2, 2, 2]), (13, [2, 2, 2, 2, 2]), (16, [2, 2, 3, 3, 3]), (19, [2, 2, 4, 4, 4]),
  ]

  static let vggEntries = vggDepths.flatMap { layers, depths in
    [false, true].map { isNormed in
      Entry(
        "vgg\(layers)\(isNormed ? "_bn" : "")", simonyanAndZisserman,
        "3×3 convolutions in stages of \(depths.map(String.init).joined(separator: ", "))"
          + (isNormed ? ", with batch norm" : "")
      ) { network, options throws(NetworkError) in
        try vgg(&network, options, depths: depths, isNormed: isNormed)
      }
    }
  }

  /// As torchvision's: stages of 64, 128, 256, 512 and 512 channels, each ended by a 2×2 max pool, a mean over
  /// 7×7 windows, which lets any size in, and three linear layers.
  private static func vgg(
    _ network: inout NetworkBuilder, _ options: Options, depths: [Int], isNormed: Bool
  ) throws(NetworkError) {
    var number = 0
    func add(_ layer: any Layer) throws(NetworkError) {
      try network.add("features.\(number)", layer)
      number += 1
    }
    for (stage, depth) in depths.enumerated() {
      for _ in 0..<depth {
        try add(
          Conv2d(
            outputChannels: min(64 << stage, 512), kernel: 3, padding: .explicit(1),
            initialisation: options.initialisation ?? .he))
        if isNormed { try add(BatchNorm2d()) }
        try add(ReLU())
      }
      try add(MaxPool2d(kernel: 2))
    }
    try network.add("avgpool", AdaptiveAvgPool2d(output: 7))
    try network.add("flatten", Flatten())
    let initialisation = options.initialisation ?? .normal(0.01)
    for layer in 0..<2 {
      try network.add("classifier.\(3 * layer)", Linear(outputFeatures: 4096, initialisation: initialisation))
      try network.add("classifier.\(3 * layer + 1)", ReLU())
      try network.add("classifier.\(3 * layer + 2)", dropout(options.dropout ?? 0.5, number: layer))
    }
    try network.add("classifier.6", Linear(outputFeatures: options.classes, initialisation: initialisation))
  }
}
