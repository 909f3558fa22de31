import ArgumentParser
import Foundation
import Layers
import Models
import Tensors
import Training

/// What `bench step` and `bench inference` measure, and how long.
struct BenchedModel: ParsableArguments {
  @Option(help: "The model, by its name in the zoo.") var model = "seed_cnn"
  @Option(help: "Height and width of the images, in pixels.") var size = 64
  @Option(help: "Channels of the images.") var channels = 3
  @Option(help: "Number of classes.") var classes = 8
  @Option(help: "Threads that compute in each rank; 0 for the rank's share of the cores.") var lanes = 1
  @Option(
    help:
      "The algorithm of convolutions: \(ConvolutionChoice.allCases.map(\.rawValue).joined(separator: ", ")).")
  var convolution = ConvolutionChoice.auto
  @Option(help: "What convolutions and linear layers multiply: fp32, bf16, or auto, whichever is faster.")
  var precision = Precision.fp32
  @Option(help: "How long to measure, in seconds.") var seconds = 6.0
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard size > 0, channels > 0, classes > 1, lanes >= 0, seconds > 0 else {
      throw ValidationError("sizes and counts are positive, and there are at least 2 classes")
    }
    // bf16 has an algorithm of its own.
    guard precision == .fp32 || convolution == .auto else {
      throw ValidationError(
        "--precision \(precision.rawValue) expects --convolution auto, got \(convolution.rawValue)")
    }
  }

  var input: FeatureShape { FeatureShape(channels: channels, height: size, width: size) }

  /// Those that `CNN_DIST_ISA` asks for.
  func kernels() throws -> InstructionSet {
    try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
  }
}

extension Precision: ExpressibleByArgument {}
extension ConvolutionChoice: ExpressibleByArgument {}
extension ActivationCheckpointing: ExpressibleByArgument {}
