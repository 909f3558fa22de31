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
  /// Blocks of 16 channels, the last perhaps not full.
  package var blocks: Int { (channels + 15) / 16 }
  /// Floats of an image as it lies in memory: channels in blocks of 16.
  package var blockedCount: Int { blocks * 16 * area }
  package var description: String { "(\(channels), \(height), \(width))" }
}

/// An array that a layer learns, or a statistic that it keeps.
package struct ArrayDeclaration: Sendable {
  package let name: String
  package let shape: Shape
  package let role: FlatLayout.Role
  package let storage: ArrayStorage
  package let initialisation: Initialisation

  package init(
    _ name: String, _ shape: Shape, _ role: FlatLayout.Role, _ storage: ArrayStorage = .plain,
    _ initialisation: Initialisation
  ) {
    self.name = name
    self.shape = shape
    self.role = role
    self.storage = storage
    self.initialisation = initialisation
  }
}

/// What a layer needs of memory and of its neighbours, so that a plan can lay out the arena.
package struct MemoryNeeds: Sendable, Equatable {
  /// Floats per image that forward writes and backward reads (beside input and output).
  package var savedPerImage = 0
  /// Floats per microbatch that forward writes and backward reads (batch statistics, say).
  package var savedPerMicrobatch = 0
  /// Floats made ready from the parameters once a step, before forward, and shared by all lanes; and what of
  /// them, the last, only backward reads.
  package var prepared = 0
  package var preparedForBackward = 0
  /// Floats of scratch, dead when a call returns, for a wave of the greatest size.
  package var scratch = 0
  /// Whether backward reads the inputs, the output.
  package var backwardReadsInput = false
  package var backwardReadsOutput = false
  /// Whether it reads the inputs for the gradients of the parameters alone.
  package var onlyParametersReadInput = false
  /// Whether the output may lie where input 0 lies, and dx where dy lies.
  package var worksInPlace = false
  /// Whether the output begins with input 0 as it is, and dy with its gradient: they may lie there too, and others
  /// may still read input 0.
  package var continuesInput = false
  /// Whether backward can add to the gradient of input 0 (`BackwardPass.addsToInputGradient`).
  package var addsToInputGradient = false
  /// Whether it can leave the gradient of input 0 to the layer that reads it (`InputGradientInParts`).
  package var leavesInputGradient = false
  /// How many images at a time a layer that wants no gradient of its input can read the gradient of its output, so
  /// that it need not lie in memory as a whole (`BackwardPass.partOfOutputGradient`); 0 where it can't. Floats of
  /// scratch for such a part.
  package var partOfOutputGradient = 0
  package var partScratch = 0

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

/// The images that a lane advances together: its microbatches, side by side in memory.
package struct Wave: Sendable {
  /// The images of each microbatch, one run after another from 0.
  package var microbatches: [Range<Int>]
  package var places: [BatchPlace]
  /// What the lane has to do now and then beside computing, its messages say: operators that take long call it
  /// between two microbatches. Nil where there is nothing.
  package var pause: (@Sendable () -> Void)?

  package init(microbatches: [Range<Int>], places: [BatchPlace]) {
    precondition(
      microbatches.count == places.count && !microbatches.isEmpty,
      "a wave expects a place for each microbatch, got \(places.count) for \(microbatches.count)")
    self.microbatches = microbatches
    self.places = places
  }

  /// N of all activations.
  package var images: Int { microbatches[microbatches.count - 1].upperBound }
}

/// What forward works on: a wave at one layer.
///
/// Activations are blocked by channels, (C/16, N, H, W, 16): 16 channels of a pixel fill a vector, the
/// images of a wave lie side by side, and a vector of F features is (F/16, N, 16). Lanes of channels
/// that don't exist hold zeros. Only the images themselves are planar, (C, N, H, W).
package struct ForwardPass {
  package var wave: Wave
  package var mode: Mode
  package var kernels: InstructionSet
  package var inputShapes: [FeatureShape]
  package var outputShape: FeatureShape
  package var inputs: [UnsafePointer<Float>]
  /// Whether input 0 is the network's images, planar. Only where `Layer.readsImages`.
  package var inputIsPlanar: Bool
  /// Overwritten.
  package var output: UnsafeMutablePointer<Float>
  /// The layer's arrays in the order of `Layer.parameters` and `Layer.statistics`.
  package var parameters: [UnsafePointer<Float>]
  package var statistics: [UnsafePointer<Float>]
  /// What `Layer.prepare` made of the parameters.
  package var prepared: UnsafePointer<Float>
  package var saved: UnsafeMutablePointer<Float>
  package var scratch: UnsafeMutablePointer<Float>
  /// Who knows the other microbatches of the step; nil where no layer of the network asks.
  package var pooling: (any BatchPooling)?
  /// Whether the wave was here before, and what it left in `saved` still stands: the same is computed again, since
  /// the output wasn't kept.
  package var isRepeated: Bool

  package init(
    wave: Wave, mode: Mode, kernels: InstructionSet, inputShapes: [FeatureShape], outputShape: FeatureShape,
    inputs: [UnsafePointer<Float>], inputIsPlanar: Bool, output: UnsafeMutablePointer<Float>,
    parameters: [UnsafePointer<Float>], statistics: [UnsafePointer<Float>], prepared: UnsafePointer<Float>,
    saved: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>,
    pooling: (any BatchPooling)? = nil, isRepeated: Bool = false
  ) {
    self.wave = wave
    self.mode = mode
    self.kernels = kernels
    self.inputShapes = inputShapes
    self.outputShape = outputShape
    self.inputs = inputs
    self.inputIsPlanar = inputIsPlanar
    self.output = output
    self.parameters = parameters
    self.statistics = statistics
    self.prepared = prepared
    self.saved = saved
    self.scratch = scratch
    self.pooling = pooling
    self.isRepeated = isRepeated
  }
}

/// What backward works on.
package struct BackwardPass {
  package var wave: Wave
  package var kernels: InstructionSet
  package var inputShapes: [FeatureShape]
  package var outputShape: FeatureShape
  package var inputs: [UnsafePointer<Float>]
  package var inputIsPlanar: Bool
  package var output: UnsafePointer<Float>
  package var parameters: [UnsafePointer<Float>]
  package var prepared: UnsafePointer<Float>
  /// Of the output, blocked as the output is.
  package var outputGradient: UnsafePointer<Float>
  /// One for each input; nil where nobody needs it (the images themselves). Overwritten.
  package var inputGradients: [UnsafeMutablePointer<Float>?]
  /// What forward wrote; `backwardParameters` may leave something in it for `backwardData`.
  package var saved: UnsafeMutablePointer<Float>
  package var scratch: UnsafeMutablePointer<Float>
  package var pooling: (any BatchPooling)?
  /// Whether nobody asks for the gradients of the parameters: `backwardData` follows no `backwardParameters`.
  package var isFrozen = false
  /// Whether another reader of input 0 has begun its gradient, to which this one's part is added. Only where
  /// `MemoryNeeds.addsToInputGradient`.
  package var addsToInputGradient = false
  /// Writes the gradient of the output for some images of a microbatch, by themselves, where there is no
  /// `outputGradient`. Nil where there is.
  package var partOfOutputGradient: GradientPart?

  package typealias GradientPart = (
    _ microbatch: Int, _ images: Range<Int>, _ gradient: UnsafeMutablePointer<Float>
  ) -> Void

  package init(
    wave: Wave, kernels: InstructionSet, inputShapes: [FeatureShape], outputShape: FeatureShape,
    inputs: [UnsafePointer<Float>], inputIsPlanar: Bool, output: UnsafePointer<Float>,
    parameters: [UnsafePointer<Float>], prepared: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
    inputGradients: [UnsafeMutablePointer<Float>?], saved: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, pooling: (any BatchPooling)? = nil
  ) {
    self.wave = wave
    self.kernels = kernels
    self.inputShapes = inputShapes
    self.outputShape = outputShape
    self.inputs = inputs
    self.inputIsPlanar = inputIsPlanar
    self.output = output
    self.parameters = parameters
    self.prepared = prepared
    self.outputGradient = outputGradient
    self.inputGradients = inputGradients
    self.saved = saved
    self.scratch = scratch
    self.pooling = pooling
  }
}

/// One operator of a network: hyper-parameters, shape rule, parameters, forward and backward. A layer
/// holds no activations: those belong to the lane that runs it.
///
/// A lane calls `forward` once a wave (and again in backward where its output wasn't kept), then `batchStatistics` for each microbatch; on the way back
/// `backwardParameters` for each microbatch, since their gradients are leaves of the reduction tree (or
/// `sumParameterGradients` for all that are added up), then `backwardData` once a wave.
package protocol Layer: Sendable {
  /// The name of the layer's class in PyTorch: `Conv2d`, `BatchNorm2d`, …
  var kind: String { get }

  /// How many inputs it takes; nil for any number of at least one.
  var inputCount: Int? { get }

  /// Whether it can read the network's images, planar (C, N, H, W), as input 0; otherwise they are
  /// blocked before it.
  func readsImages(_ shape: FeatureShape) -> Bool

  /// The shape rule. Throws `LayerError` where the inputs don't fit the hyper-parameters.
  func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape

  func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration]
  func statistics(for inputs: [FeatureShape]) -> [ArrayDeclaration]
  /// - Parameters:
  ///   - images: the most of a wave.
  ///   - kernels: those that will run.
  func memory(for inputs: [FeatureShape], images: Int, kernels: InstructionSet) -> MemoryNeeds

  /// The fewest images that a microbatch, and a whole step, may have in training.
  func smallestMicrobatch(for inputs: [FeatureShape]) -> Int
  func smallestBatch(for inputs: [FeatureShape]) -> Int

  /// Multiply-adds of a forward pass, per image.
  func multiplyAdds(for inputs: [FeatureShape]) -> Int

  /// What the kernels are called that compute forward, backward data and backward weights, where there is
  /// a choice; otherwise empty.
  func algorithms(for inputs: [FeatureShape], kernels: InstructionSet) -> [String]

  /// Makes weights ready (packed, transformed) once a step. Overwrites `prepared`; for inference only what
  /// forward reads.
  func prepare(
    _ prepared: UnsafeMutablePointer<Float>, parameters: [UnsafePointer<Float>], inputs: [FeatureShape],
    mode: Mode, kernels: InstructionSet)

  func forward(_ pass: borrowing ForwardPass)

  /// After a forward pass in training: what the running statistics are to be updated with, of one
  /// microbatch (for batch norm: mean, unbiased variance), in the order of `statistics`. Overwrites.
  func batchStatistics(
    _ pass: borrowing ForwardPass, microbatch: Int, into statistics: [UnsafeMutablePointer<Float>])

  /// The gradients of one microbatch in the order of `parameters`, padding included. Overwrites.
  /// Called for layers with parameters that are not frozen, once for each microbatch: it may leave those of the
  /// inputs, too, which may lie where dy lies.
  func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>])

  /// The gradients of several microbatches, added up as `ReductionTree` does, where it can do all in one pass: the bits
  /// are those of adding them afterwards. Overwrites. False where it can't, and nothing is done.
  func sumParameterGradients(
    _ pass: borrowing BackwardPass, microbatches: Range<Int>, into sums: [UnsafeMutablePointer<Float>]
  ) -> Bool

  /// The gradients of the inputs, of the whole wave.
  func backwardData(_ pass: borrowing BackwardPass)
}

/// A layer whose dx its reader can ask for, a few images at a time, when both backward calls of it are over without
/// one: then the reader finds it in the cache, and nobody keeps it. Where `MemoryNeeds.leavesInputGradient`.
package protocol InputGradientInParts: Layer {
  /// dx of `images` of a microbatch. Overwrites `dx`, which holds these images alone.
  func writeInputGradient(
    _ pass: borrowing BackwardPass, microbatch: Int, images: Range<Int>, into dx: UnsafeMutablePointer<Float>)
}

extension Layer {
  package var inputCount: Int? { 1 }
  package func readsImages(_ shape: FeatureShape) -> Bool { false }
  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] { [] }
  package func statistics(for inputs: [FeatureShape]) -> [ArrayDeclaration] { [] }
  package func smallestMicrobatch(for inputs: [FeatureShape]) -> Int { 1 }
  package func smallestBatch(for inputs: [FeatureShape]) -> Int { smallestMicrobatch(for: inputs) }
  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { 0 }
  package func algorithms(for inputs: [FeatureShape], kernels: InstructionSet) -> [String] { [] }
  package func prepare(
    _ prepared: UnsafeMutablePointer<Float>, parameters: [UnsafePointer<Float>], inputs: [FeatureShape],
    mode: Mode, kernels: InstructionSet
  ) {}
  package func batchStatistics(
    _ pass: borrowing ForwardPass, microbatch: Int, into statistics: [UnsafeMutablePointer<Float>]
  ) {
    precondition(statistics.isEmpty, "\(kind) keeps no statistics")
  }
  package func backwardParameters(
    _ pass: borrowing BackwardPass, microbatch: Int, gradients: [UnsafeMutablePointer<Float>]
  ) {
    precondition(gradients.isEmpty, "\(kind) has no parameters")
  }
  package func sumParameterGradients(
    _ pass: borrowing BackwardPass, microbatches: Range<Int>, into sums: [UnsafeMutablePointer<Float>]
  ) -> Bool { false }
}

/// Hyper-parameters and inputs that don't go together.
package struct LayerError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}
