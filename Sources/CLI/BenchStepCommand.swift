import ArgumentParser
import Collectives
import Models
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
        cnn-dist bench step --model resnet18 --batch 32 --freeze all_but_head
        mpirun -np 2 cnn-dist bench step --model resnet18 --pairs 200     what the tree costs
        mpirun -np 2 cnn-dist bench step --model resnet18 --pairs 200 --beside nothing
        cnn-dist bench step --model resnet18 --batch 32 --compare pytorch --python venv/bin/python
      """)

  @OptionGroup var benched: BenchedModel
  @Option(help: "Images in a step, over all ranks.") var batch = 64
  @Option(help: "Images in a microbatch.") var microbatch = 16
  @Option(help: "Microbatches in flight in a lane; 0 for as many as are fastest.") var wave = 0
  @Option(help: "What lanes keep of a forward pass: none (all that backward reads) or blocks (less memory).")
  var activationCheckpointing = ActivationCheckpointing.none
  @Option(help: "The optimizer: sgd, adam, adamw, rmsprop, lars or lamb.") var optimizer = OptimizerConfig
    .Name.sgd
  @Option(
    help:
      "What is frozen, as transfer.freeze: all_but_head, a number of blocks, or patterns with commas between."
  )
  var freeze: FrozenLayers?
  @Option(
    help: """
      Compare: take this many pairs of steps, one by the tree, one with what --beside names in its place, and \
      print the ratio of their times with its 95 % interval; 0 for none.
      """)
  var pairs = 0
  @Option(
    help: """
      With --pairs: all_reduce, a single MPI_Allreduce; or nothing, every rank by itself, waiting for the slowest after \
      each step: what synchronous training could at most reach.
      """)
  var beside = StepComparison.Baseline.allReduce
  @Option(help: "A peer to alternate with, on one thread each, each for --seconds: pytorch.") var compare:
    Peer?
  @Option(help: "With --compare: the Python that has torch and torchvision (default: PYTHON, or python3).")
  var python: String?
  @Option(help: "With --compare: how often to alternate.") var rounds = 5
  @Option(help: "With --compare: modes of the peer, of eager, channels_last and compile.")
  var modes = "eager,channels_last"
  @Flag(help: "Say what each operator took in the first lane.") var operators = false

  func validate() throws {
    guard batch > 0, microbatch > 0, wave >= 0, pairs >= 0, rounds > 0 else {
      throw ValidationError("sizes and counts are positive")
    }
    guard compare == nil || (pairs == 0 && !operators && benched.lanes == 1 && freeze == nil) else {
      throw ValidationError(
        "--compare is of whole steps on one lane, without --pairs, --operators and --freeze")
    }
  }

  func run() throws {
    try Program.run { communicator in
      if compare != nil {
        try compareWithPeer(communicator)
        return 0
      }
      let benchmark = try benchmark()
      if pairs > 0 {
        let comparison = try benchmark.compare(communicator, beside: beside, pairs: pairs)
        if communicator.rank == 0 { print(benched.json ? comparison.json : comparison.text) }
      } else {
        let report = try benchmark.run(communicator, seconds: benched.seconds)
        if communicator.rank == 0 { print(benched.json ? try JSONOutput.text(report.record) : report.text) }
      }
      return 0
    }
  }

  enum Peer: String, ExpressibleByArgument, CaseIterable { case pytorch }

  private func compareWithPeer(_ communicator: Communicator) throws {
    guard communicator.size == 1 else {
      throw RunError("bench step --compare expects one process, got \(communicator.size) ranks")
    }
    let options: [(String, Any)] = [
      ("model", benched.model), ("size", benched.size), ("channels", benched.channels),
      ("classes", benched.classes), ("batch", batch), ("microbatch", microbatch),
      ("seconds", benched.seconds), ("rounds", rounds), ("modes", modes),
      ("precision", benched.precision.rawValue),
    ]
    let ours: [(String, Any)] = [
      ("wave", wave), ("activation-checkpointing", activationCheckpointing.rawValue),
      ("optimizer", optimizer.rawValue), ("convolution", benched.convolution.rawValue),
    ]
    func words(_ options: [(String, Any)]) -> [String] { options.flatMap { ["--\($0.0)", "\($0.1)"] } }
    try PeerComparison(
      python: python, arguments: words(options) + (benched.json ? ["--json"] : []) + ["--"] + words(ours)
    ).run()
  }

  private func benchmark() throws -> StepBenchmark {
    var settings = OptimizerConfig()
    (settings.name, settings.learningRate, settings.momentum, settings.weightDecay) = (
      optimizer, 0.01, 0.9, 0
    )
    var transfer = TransferConfig()
    if let freeze { transfer.freeze = freeze }
    return StepBenchmark(
      model: benched.model, input: benched.input, classes: benched.classes, batch: batch,
      microbatch: microbatch, wave: wave, checkpointing: activationCheckpointing, lanes: benched.lanes,
      optimizer: settings, convolution: benched.convolution, precision: benched.precision,
      kernels: try benched.kernels(), transfer: transfer, operators: operators)
  }
}

extension OptimizerConfig.Name: ExpressibleByArgument {}
extension StepComparison.Baseline: ExpressibleByArgument {}
