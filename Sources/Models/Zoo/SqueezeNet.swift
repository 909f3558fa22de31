import Layers

extension ModelZoo {
  static let squeezeNetEntries = [
    ("1_0", "7×7 stem"), ("1_1", "3×3 stem, earlier pools: 2.4 times less to compute"),
  ]
  .map { version, summary in
    Entry(
      "squeezenet\(version)",
      Paper(
        "Iandola et al.",
        "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
        "arXiv:1602.07360"),
      "eight fire modules, no linear layer; \(summary)"
    ) { network, options throws(NetworkError) in
      try squeezeNet(&network, options, isFirst: version == "1_0")
    }
  }

  /// As torchvision's: a stem, fire modules with pools between them, and a 1×1 convolution to class scores
  /// whose means are the output.
  private static func squeezeNet(_ network: inout NetworkBuilder, _ options: Options, isFirst: Bool)
    throws(NetworkError)
  {
    let rule = options.initialisation ?? WeightInitialisation(.heUniform)
    var number = 0
    func add(_ layer: any Layer) throws(NetworkError) {
      try network.add("features.\(number)", layer)
      number += 1
    }
    let stem = isFirst ? (channels: 96, kernel: 7) : (channels: 64, kernel: 3)
    try add(
      Conv2d(outputChannels: stem.channels, kernel: Size2D(stem.kernel), stride: 2, initialisation: rule))
    try add(ReLU())
    let pooled = isFirst ? [0, 3, 7] : [0, 2, 4]
    for (fire, squeeze) in [16, 16, 32, 32, 48, 48, 64, 64].enumerated() {
      if pooled.contains(fire) { try add(MaxPool2d(kernel: 3, stride: 2, ceilMode: true)) }
      try addFire("features.\(number)", to: &network, squeeze: squeeze, rule)
      number += 1
    }
    try network.add("classifier.0", dropout(options.dropout ?? 0.5, number: 0))
    try network.add(
      "classifier.1",
      Conv2d(
        outputChannels: options.classes, kernel: 1, initialisation: options.initialisation ?? .normal(0.01)))
    try network.add("classifier.2", ReLU())
    try network.add("classifier.3", AdaptiveAvgPool2d())
  }

  /// A 1×1 convolution to few channels; 1×1 and 3×3 convolutions of those, each to four times as many, joined.
  private static func addFire(
    _ name: String, to network: inout NetworkBuilder, squeeze: Int, _ rule: WeightInitialisation
  ) throws(NetworkError) {
    try network.add("\(name).squeeze", Conv2d(outputChannels: squeeze, kernel: 1, initialisation: rule))
    let squeezed = try network.add("\(name).squeeze_activation", ReLU())
    try network.add("\(name).expand1x1", Conv2d(outputChannels: 4 * squeeze, kernel: 1, initialisation: rule))
    let one = try network.add("\(name).expand1x1_activation", ReLU())
    try network.add(
      "\(name).expand3x3",
      Conv2d(outputChannels: 4 * squeeze, kernel: 3, padding: .explicit(1), initialisation: rule),
      from: squeezed)
    let three = try network.add("\(name).expand3x3_activation", ReLU())
    try network.add("\(name).concat", Concat(), from: one, three)
  }
}
