import Layers
import Models
import Tensors

/// A small network with everything that makes memory planning hard: branches that meet again by sum and
/// by concatenation, operators in place, an input that is read twice.
func branchingNetwork() throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 2, height: 6, width: 6))
  try network.add("stem", Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(1)))
  try network.add("norm", BatchNorm2d())
  let trunk = try network.add("relu", ReLU())
  try network.add("a", Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(1)))
  let left = try network.add("a_norm", BatchNorm2d())
  let right = try network.add("b", Conv2d(outputChannels: 4, kernel: 1), from: trunk)
  let sum = try network.add("sum", Add(), from: left, right)
  let gated = try network.add("sum_relu", ReLU(), from: sum)
  let pooled = try network.add("pool", AvgPool2d(kernel: 2), from: trunk)
  let strided = try network.add("c", Conv2d(outputChannels: 3, kernel: 2, stride: 2), from: gated)
  let joined = try network.add("join", Concat(), from: pooled, strided)
  let twice = try network.add("twice", Add(), from: joined, joined)
  try network.add("flatten", Flatten(), from: twice)
  try network.add("fc", Linear(outputFeatures: 5))
  return try network.build()
}

/// Channels and sizes for which other algorithms are chosen: Winograd's of all tile sizes, 1×1, depthwise.
func winogradNetwork() throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 3, height: 14, width: 14))
  try network.add("stem", Conv2d(outputChannels: 20, kernel: 3, padding: .explicit(1)))
  try network.add("f5", Conv2d(outputChannels: 17, kernel: 3, padding: .explicit(1), bias: false))
  try network.add("norm", BatchNorm2d())
  try network.add("relu", ReLU())
  try network.add(
    "depthwise", Conv2d(outputChannels: 17, kernel: 3, stride: 2, padding: .explicit(1), groups: 17))
  try network.add("pointwise", Conv2d(outputChannels: 33, kernel: 1))
  try network.add("f4", Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1)))
  try network.add("pool", MaxPool2d(kernel: 3))
  try network.add("f2", Conv2d(outputChannels: 32, kernel: 3, padding: .explicit(1)))
  try network.add("flatten", Flatten())
  try network.add("fc", Linear(outputFeatures: 37))
  return try network.build()
}

/// Joins that begin with what they read, one after another as a dense block's: others read it too, before and after,
/// and two joins begin with the same.
func growingNetwork(_ join: any Layer = Concat(), following: Following = .relu) throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 2, height: 6, width: 6))
  try network.add("stem", Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1), bias: false))
  var trunk = try network.add("norm", BatchNorm2d())
  let first = trunk
  for number in 1...3 {
    try network.add("norm\(number)", BatchNorm2d(following: following), from: trunk)
    let grown = try network.add(
      "conv\(number)", Conv2d(outputChannels: 16, kernel: 3, padding: .explicit(1), bias: false))
    trunk = try network.add("join\(number)", join, from: trunk, grown)
  }
  let normed = try network.add("last_norm", BatchNorm2d(following: .silu), from: trunk)
  let narrow = try network.add("narrow", Conv2d(outputChannels: 20, kernel: 1, bias: false))
  let late = try network.add("late", Conv2d(outputChannels: 20, kernel: 1), from: first)
  let other = try network.add("other", join, from: first, late)
  let odd = try network.add("odd", join, from: narrow, late)
  let all = try network.add("all", join, from: normed, normed, other, odd)
  try network.add("pool", AdaptiveAvgPool2d(), from: all)
  try network.add("flatten", Flatten())
  try network.add("fc", Linear(outputFeatures: 5))
  return try network.build()
}

/// A join that copies all its inputs.
struct CopyingConcat: Layer {
  var kind: String { "CopyingConcat" }
  var inputCount: Int? { nil }

  func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    try Concat().outputShape(of: inputs)
  }
  func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds {
    MemoryNeeds()
  }
  func forward(_ pass: borrowing ForwardPass) { Concat().forward(pass) }
  func backwardData(_ pass: borrowing BackwardPass) { Concat().backwardData(pass) }
}

/// Gates, norms of one image, functions with and without their input kept, a branch that is dropped for some.
func gatedNetwork() throws -> Network {
  var network = NetworkBuilder(input: FeatureShape(channels: 2, height: 6, width: 6))
  try network.add("stem", Conv2d(outputChannels: 6, kernel: 3, padding: .explicit(1), bias: false))
  try network.add("norm", BatchNorm2d())
  let trunk = try network.add("silu", SiLU())
  try network.add("squeeze", AdaptiveAvgPool2d())
  try network.add("excite", Conv2d(outputChannels: 6, kernel: 1))
  let gates = try network.add("gates", Sigmoid())
  try network.add("gated", Multiply(), from: trunk, gates)
  try network.add("layer_norm", try LayerNorm())
  try network.add("wide", Conv2d(outputChannels: 18, kernel: 1))
  try network.add("gelu", GELU())
  try network.add("narrow", Conv2d(outputChannels: 6, kernel: 1, bias: false))
  try network.add("scale", try LayerScale(initialValue: 0.5))
  let branch = try network.add("drop", try StochasticDepth(probability: 0.4, number: 0))
  try network.add("sum", Add(), from: branch, trunk)
  try network.add("group_norm", try GroupNorm(groups: 3))
  try network.add("tanh", Tanh())
  try network.add("response", try LocalResponseNorm(size: 3, alpha: 0.5))
  try network.add("last", Conv2d(outputChannels: 6, kernel: 1, bias: false))
  let normed = try network.add("last_norm", BatchNorm2d())
  try network.add("last_sum", Add(), from: normed, trunk)
  try network.add("softmax", Softmax())
  try network.add("flatten", Flatten())
  try network.add("fc", Linear(outputFeatures: 5))
  return try network.build()
}
