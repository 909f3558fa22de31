import CKernels
import Tensors

/// The extent of one image's activations: channels, height, width. A vector of F features is (F, 1, 1).
package struct FeatureShape: Hashable, Sendable, CustomStringConvertible {
  package var channels: Int
  package var height: Int
  package var width: Int

  package init(channels: Int, height: Int = 1, width: Int = 1) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  package var area: Int { height * width }
  package var count: Int { channels * area }
  package var description: String { "(\(channels), \(height), \(width))" }
}

/// An array that a layer learns, or a statistic that it keeps.
package struct ArrayDeclaration: Sendable {
  package let name: String
  package let shape: Shape
  package let role: FlatLayout.Role
  package let initialisation: Initialisation

  package init(_ name: String, _ shape: Shape, _ role: FlatLayout.Role, _ initialisation: Initialisation) {
    self.name = name
    self.shape = shape
    self.role = role
    self.initialisation = initialisation
  }
}

/// What a layer needs of memory and of its neighbours, so that a plan can lay out the arena.
package struct MemoryNeeds: Sendable, Equatable {
  /// Floats per image that forward writes and backward reads (beside input and output).
  package var savedPerImage = 0
  /// Floats per microbatch that forward writes and backward reads (batch statistics, say).
  package var savedFixed = 0
  /// Floats of scratch, dead when a call returns, for a microbatch of the greatest size.
  package var scratch = 0
  /// Whether backward reads the inputs, the output.
  package var backwardReadsInput = false
  package var backwardReadsOutput = false
  /// Whether the output may lie where input 0 lies, and dx where dy lies.
  package var worksInPlace = false

  package init() {}
}

package enum Mode: Sendable { case training, inference }

/// Where the images of a microbatch stand, so that random numbers can be addressed.
package struct BatchPlace: Sendable {
  package var seed: UInt64
  package var epoch: Int
  /// Position in the epoch of the first image; the others follow it one by one.
  package var firstPosition: Int

  package init(seed: UInt64, epoch: Int, firstPosition: Int) {
    self.seed = seed
    self.epoch = epoch
    self.firstPosition = firstPosition
  }
}

/// What forward works on: one microbatch at one layer. All activations are channel-major,
/// (C, N, H, W): the N images of a channel lie side by side, so a convolution is one matrix product
/// for many images and a channel's statistics are sums over one contiguous run.
package struct ForwardPass {
  package var images: Int
  package var mode: Mode
  package var place: BatchPlace
  package var kernels: InstructionSet
  package var inputShapes: [FeatureShape]
  package var outputShape: FeatureShape
  /// Each (C, N, H, W).
  package var inputs: [UnsafePointer<Float>]
  /// Overwritten.
  package var output: UnsafeMutablePointer<Float>
  /// The layer's arrays in the order of `Layer.parameters` and `Layer.statistics`.
  package var parameters: [UnsafePointer<Float>]
  package var statistics: [UnsafePointer<Float>]
  /// Training: what the running statistics are to be updated with, of this microbatch (for batch
  /// norm: mean, unbiased variance), in the order of `Layer.statistics`. Overwritten.
  package var batchStatistics: [UnsafeMutablePointer<Float>]
  package var saved: UnsafeMutablePointer<Float>
  package var scratch: UnsafeMutablePointer<Float>

  package init(
    images: Int, mode: Mode, place: BatchPlace, kernels: InstructionSet, inputShapes: [FeatureShape],
    outputShape: FeatureShape, inputs: [UnsafePointer<Float>], output: UnsafeMutablePointer<Float>,
    parameters: [UnsafePointer<Float>], statistics: [UnsafePointer<Float>],
    batchStatistics: [UnsafeMutablePointer<Float>], saved: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    self.images = images
    self.mode = mode
    self.place = place
    self.kernels = kernels
    self.inputShapes = inputShapes
    self.outputShape = outputShape
    self.inputs = inputs
    self.output = output
    self.parameters = parameters
    self.statistics = statistics
    self.batchStatistics = batchStatistics
    self.saved = saved
    self.scratch = scratch
  }
}

/// What backward works on. Gradients are overwritten, not accumulated, unless said otherwise.
package struct BackwardPass {
  package var images: Int
  package var place: BatchPlace
  package var kernels: InstructionSet
  package var inputShapes: [FeatureShape]
  package var outputShape: FeatureShape
  package var inputs: [UnsafePointer<Float>]
  package var output: UnsafePointer<Float>
  package var parameters: [UnsafePointer<Float>]
  /// (C, N, H, W) of the output.
  package var outputGradient: UnsafePointer<Float>
  /// One for each input; nil where nobody needs it (the images themselves). Overwritten.
  package var inputGradients: [UnsafeMutablePointer<Float>?]
  /// In the order of `Layer.parameters`. Overwritten.
  package var parameterGradients: [UnsafeMutablePointer<Float>]
  package var saved: UnsafePointer<Float>
  package var scratch: UnsafeMutablePointer<Float>

  package init(
    images: Int, place: BatchPlace, kernels: InstructionSet, inputShapes: [FeatureShape],
    outputShape: FeatureShape, inputs: [UnsafePointer<Float>], output: UnsafePointer<Float>,
    parameters: [UnsafePointer<Float>], outputGradient: UnsafePointer<Float>,
    inputGradients: [UnsafeMutablePointer<Float>?], parameterGradients: [UnsafeMutablePointer<Float>],
    saved: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    self.images = images
    self.place = place
    self.kernels = kernels
    self.inputShapes = inputShapes
    self.outputShape = outputShape
    self.inputs = inputs
    self.output = output
    self.parameters = parameters
    self.outputGradient = outputGradient
    self.inputGradients = inputGradients
    self.parameterGradients = parameterGradients
    self.saved = saved
    self.scratch = scratch
  }
}

/// One operator of a network: hyper-parameters, shape rule, parameters, forward and backward. A layer
/// holds no activations: those belong to the lane that runs it.
package protocol Layer: Sendable {
  /// The name of the layer's class in PyTorch: `Conv2d`, `BatchNorm2d`, …
  var kind: String { get }

  /// How many inputs it takes; nil for any number of at least one.
  var inputCount: Int? { get }

  /// The shape rule. Throws `LayerError` where the inputs don't fit the hyper-parameters.
  func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape

  func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration]
  func statistics(for inputs: [FeatureShape]) -> [ArrayDeclaration]
  func memory(for inputs: [FeatureShape], images: Int) -> MemoryNeeds

  /// The fewest images that a microbatch may have in training.
  func smallestMicrobatch(for inputs: [FeatureShape]) -> Int

  /// Multiply-adds of a forward pass, per image.
  func multiplyAdds(for inputs: [FeatureShape]) -> Int

  func forward(_ pass: borrowing ForwardPass)
  func backward(_ pass: borrowing BackwardPass)
}

extension Layer {
  package var inputCount: Int? { 1 }
  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] { [] }
  package func statistics(for inputs: [FeatureShape]) -> [ArrayDeclaration] { [] }
  package func smallestMicrobatch(for inputs: [FeatureShape]) -> Int { 1 }
  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { 0 }
}

/// Hyper-parameters and inputs that don't go together.
package struct LayerError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}
