import ArgumentParser
import Collectives
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

  @OptionGroup var benched: BenchedModel
  @Option(help: "Images of a batch, of each rank.") var batch = 16

  func validate() throws {
    guard batch > 0 else { throw ValidationError("--batch is positive") }
  }

  func run() throws {
    try Program.run { communicator in
      let benchmark = InferenceBenchmark(
        model: benched.model, input: benched.input, classes: benched.classes, batch: batch,
        lanes: benched.lanes, convolution: benched.convolution, precision: benched.precision,
        kernels: try benched.kernels())
      let report = try benchmark.run(communicator, seconds: benched.seconds)
      if communicator.rank == 0 { print(benched.json ? report.json : report.text) }
      return 0
    }
  }
}
