import ArgumentParser
import Collectives
import Foundation
import Layers
import Models
import Tensors
import Training

/// `cnn-dist bench inference`: batches of random images through a network.
struct BenchInferenceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inference",
    abstract: "Time the forward pass of a trained network (batch norms folded) on random images.",
    discussion: """
      Prints the median batch and images a second of the whole job.

      Examples:
        cnn-dist bench inference --model resnet18 --size 64 --batch 16 --lanes 1
        mpirun -np 2 cnn-dist bench inference --model seed_cnn --json
      """)

  @Option(help: "The model, by its name in the zoo.") var model = "seed_cnn"
  @Option(help: "Height and width of the images, in pixels.") var size = 64
  @Option(help: "Channels of the images.") var channels = 3
  @Option(help: "Number of classes.") var classes = 8
  @Option(help: "Images of a batch, of each rank.") var batch = 16
  @Option(help: "Threads that compute in each rank; 0 for the rank's share of the cores.") var lanes = 1
  @Option(help: "The algorithm of convolutions: auto, blas, direct, winograd2, winograd4 or winograd5.")
  var convolution = ConvolutionChoice.auto
  @Option(help: "What convolutions and linear layers multiply: fp32, bf16, or auto, whichever is faster.")
  var precision = Precision.fp32
  @Option(help: "How long to measure, in seconds.") var seconds = 6.0
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard batch > 0, size > 0, channels > 0, classes > 1, lanes >= 0, seconds > 0 else {
      throw ValidationError("sizes and counts are positive, and there are at least 2 classes")
    }
    try precision.validate(beside: convolution)
  }

  func run() throws {
    try Program.run { communicator in
      let kernels = try InstructionSet.selected(
        pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      let benchmark = InferenceBenchmark(
        model: model, input: FeatureShape(channels: channels, height: size, width: size), classes: classes,
        batch: batch, lanes: lanes, convolution: convolution, precision: precision, kernels: kernels)
      let report = try benchmark.run(communicator, seconds: seconds)
      if communicator.rank == 0 { print(json ? report.json : report.text) }
      return 0
    }
  }
}
