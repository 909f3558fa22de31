import Layers

/// The block of MobileNets and EfficientNets: 1×1 to many channels, a convolution of each channel by itself,
/// perhaps squeeze-and-excitation, 1×1 to few channels; beside the identity where the shape stays.
struct InvertedResidual {
  /// What its convolutions but the last end with.
  let activation: any Layer
  /// The gates of squeeze-and-excitation: what comes between its two layers, and what the second ends with.
  let excitation: (activation: any Layer, gate: any Layer)
  let norm: BatchNorm2d
  let initialisation: WeightInitialisation

  let kernel: Int
  let stride: Int
  let expanded: Int
  /// Channels in squeeze-and-excitation; nil for none.
  let squeezed: Int?
  let output: Int
  /// Whether the last convolution and its norm count as two members of the sequence, as in MobileNetV2.
  let isFlat: Bool

  /// Adds the block, whose sequence is called `sequence`; `name` is the block's own. What `dropping` gives comes
  /// before the sum.
  func add(
    _ name: String, _ sequence: String, to network: inout NetworkBuilder, dropping: (any Layer)? = nil
  ) throws(NetworkError) {
    let input = network.last
    let channels = network.shape(of: input).channels
    var number = 0
    func addUnit(_ convolution: Conv2d) throws(NetworkError) {
      try network.addNormed(("\(sequence).\(number).0", "\(sequence).\(number).1"), convolution, norm)
      try network.add("\(sequence).\(number).2", activation)
      number += 1
    }
    if expanded != channels {
      try addUnit(Conv2d(outputChannels: expanded, kernel: 1, initialisation: initialisation))
    }
    try addUnit(
      Conv2d(
        outputChannels: expanded, kernel: Size2D(kernel), stride: Size2D(stride),
        padding: .explicit(Size2D(kernel / 2)), groups: expanded, initialisation: initialisation))
    if let squeezed {
      try addExcitation("\(sequence).\(number)", to: &network, squeezed)
      number += 1
    }
    try network.addNormed(
      isFlat
        ? ("\(sequence).\(number)", "\(sequence).\(number + 1)")
        : ("\(sequence).\(number).0", "\(sequence).\(number).1"),
      Conv2d(outputChannels: output, kernel: 1, initialisation: initialisation), norm)
    guard network.shape(of: network.last) == network.shape(of: input), stride == 1 else { return }
    if let dropping { try network.add("\(name).stochastic_depth", dropping) }
    try network.add("\(name).add", Add(), from: network.last, input)
  }

  /// Gates for each channel, from the means of all (Hu et al. 2018, arXiv:1709.01507).
  private func addExcitation(_ name: String, to network: inout NetworkBuilder, _ squeezed: Int)
    throws(NetworkError)
  {
    let input = network.last
    try network.add("\(name).avgpool", AdaptiveAvgPool2d())
    try network.add(
      "\(name).fc1", Conv2d(outputChannels: squeezed, kernel: 1, initialisation: initialisation))
    try network.add("\(name).activation", excitation.activation)
    try network.add(
      "\(name).fc2", Conv2d(outputChannels: expanded, kernel: 1, initialisation: initialisation))
    let gate = try network.add("\(name).scale_activation", excitation.gate)
    try network.add("\(name).scale", Multiply(), from: input, gate)
  }

  /// The multiple of 8 nearest to a number of channels, at least 8, and not below nine tenths of it.
  static func channels(_ wanted: Double) -> Int {
    let rounded = max(8, Int(wanted + 4) / 8 * 8)
    return Double(rounded) < 0.9 * wanted ? rounded + 8 : rounded
  }
}
