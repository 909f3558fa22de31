import ArgumentParser
import Collectives
import Foundation
import Layers
import Models
import Tensors
import Training

/// `cnn-dist bench step`: optimizer steps on random images.
struct BenchStepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step",
    abstract: "Time optimizer steps (forward, backward, reduction, update) on random images.",
    discussion: """
      Prints the median step and images a second of the whole job.

      Examples:
        cnn-dist bench step --model resnet18 --size 64 --batch 32 --lanes 1
        mpirun -np 2 cnn-dist bench step --model seed_cnn --json
        cnn-dist bench step --model resnet18 --batch 32 --convolution blas --operators
        cnn-dist bench step --model resnet18 --batch 32 --precision auto
        mpirun -np 2 cnn-dist bench step --model resnet18 --pairs 200     what the tree costs
      """)

  @Option(help: "The model, by its name in the zoo.") var model = "seed_cnn"
  @Option(help: "Height and width of the images, in pixels.") var size = 64
  @Option(help: "Channels of the images.") var channels = 3
  @Option(help: "Number of classes.") var classes = 8
  @Option(help: "Images in a step, over all ranks.") var batch = 64
  @Option(help: "Images in a microbatch.") var microbatch = 16
  @Option(help: "Threads that compute in each rank; 0 for the rank's share of the cores.") var lanes = 1
  @Option(help: "Microbatches in flight in a lane; 0 for all of a step.") var wave = 0
  @Option(help: "The optimizer: sgd, adam, adamw, rmsprop, lars or lamb.") var optimizer = OptimizerConfig
    .Name.sgd
  @Option(help: "The algorithm of convolutions: auto, blas, direct, winograd2, winograd4 or winograd5.")
  var convolution = ConvolutionChoice.auto
  @Option(help: "What convolutions and linear layers multiply: fp32, bf16, or auto, whichever is faster.")
  var precision = Precision.fp32
  @Option(help: "How long to measure, in seconds.") var seconds = 6.0
  @Option(
    help: """
      Compare: take this many pairs of steps, one by the tree, one with a single MPI_Allreduce in its place, and \
      print the ratio of their times with its 95 % interval; 0 for none.
      """)
  var pairs = 0
  @Flag(help: "Say what each operator took in the first lane.") var operators = false
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard batch > 0, microbatch > 0, size > 0, channels > 0, classes > 1, lanes >= 0, wave >= 0, pairs >= 0,
      seconds > 0
    else {
      throw ValidationError("sizes and counts are positive, and there are at least 2 classes")
    }
    try precision.validate(beside: convolution)
  }

  func run() throws {
    try Program.run { communicator in
      let benchmark = try benchmark()
      if pairs > 0 {
        let comparison = try benchmark.compareWithAllReduce(communicator, pairs: pairs)
        if communicator.rank == 0 { print(json ? comparison.json : comparison.text) }
      } else {
        let report = try benchmark.run(communicator, seconds: seconds)
        if communicator.rank == 0 { print(json ? report.json : report.text) }
      }
      return 0
    }
  }

  private func benchmark() throws -> StepBenchmark {
    let kernels = try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
    var settings = OptimizerConfig()
    (settings.name, settings.learningRate, settings.momentum, settings.weightDecay) = (
      optimizer, 0.01, 0.9, 0
    )
    return StepBenchmark(
      model: model, input: FeatureShape(channels: channels, height: size, width: size), classes: classes,
      batch: batch, microbatch: microbatch, wave: wave, lanes: lanes, optimizer: settings,
      convolution: convolution, precision: precision, kernels: kernels, operators: operators)
  }
}

extension OptimizerConfig.Name: ExpressibleByArgument {}
extension ConvolutionChoice: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {
  /// bf16 has an algorithm of its own.
  func validate(beside convolution: ConvolutionChoice) throws {
    guard self == .fp32 || convolution == .auto else {
      throw ValidationError("--precision \(rawValue) expects --convolution auto, got \(convolution.rawValue)")
    }
  }
}
