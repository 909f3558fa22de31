import ArgumentParser
import Collectives
import Foundation
import Layers
import Reports
import Tensors
import Training

/// `cnn-dist scale forecast`: what a step would take on other machines.
struct ForecastCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forecast",
    abstract: "Forecast steps at any number of nodes from parts measured on one lane.",
    discussion: """
      Measures on one lane of this machine what operators, updates and sums take (or reads --parts), and puts together \
      what a step takes elsewhere: the buckets, the division of work and the messages are those of the program. Says what \
      stops scaling first, and what would move it.

      --reduce takes latency and bandwidth from `bench reduce --json` of some ranks, one a node, of that network. \
      --measured takes results of `bench step --json` and says how far the forecast is off. --simgrid has SimGrid replay \
      the same messages on a fat tree (Debian: libsimgrid-dev).

      Weak scaling: --microbatches-per-lane. Strong scaling: --batch, the images of a step.

      Examples:
        cnn-dist scale forecast --model resnet18 --nodes 1,8,64,512 --gbits 10,25,100
        cnn-dist scale forecast --model resnet50 --size 224 --nodes 64,256 --ranks-per-node 8 --lanes 4 --gbits 25 --out plan
        cnn-dist scale forecast --parts plan/parts.json --nodes 64,512 --gbits 25 --fan-in 2 --simgrid
        cnn-dist scale forecast --nodes 1,2,3,4 --reduce reduce.json --measured step2.json --measured step4.json
      """)

  @Option(help: "The model, by its name in the zoo.") var model = "seed_cnn"
  @Option(help: "Height and width of the images, in pixels.") var size = 64
  @Option(help: "Number of classes.") var classes = 8
  @Option(help: "Images in a microbatch.") var microbatch = 16
  @Option(help: "Weak scaling: microbatches of a lane in a step.") var microbatchesPerLane = 2
  @Option(help: "Strong scaling: images in a step; 0 for weak scaling.") var batch = 0
  @Option(help: "Numbers of nodes, separated by commas.") var nodes = VerifyCommand.Numbers([
    1, 2, 8, 64, 512,
  ])
  @Option(help: "Numbers of ranks on a node.") var ranksPerNode = VerifyCommand.Numbers([1])
  @Option(help: "Lanes in a rank.") var lanes = 1
  @Option(help: "Speeds of a node's link in Gbit/s, separated by commas.") var gbits = Speeds([25])
  @Option(help: "Latency of a message between nodes, in microseconds.") var latencyUs = 5.0
  @Option(help: "What a message costs the lane that sends or gets it, in microseconds.") var messageUs = 1.5
  @Option(
    help: """
      How fast a lane gets its messages through the system's sockets, in Gbit/s each way; 0 where the network reads \
      memory by itself.
      """)
  var socketGbits = 0.0
  @Option(
    help: ArgumentHelp("Latency and bandwidth from a result of `bench reduce --json`.", valueName: "file"))
  var reduce: String?
  @Option(help: "How many times as fast lanes are as the one that is measured.") var speed = 1.0
  @Option(help: "Lanes that share a core.") var lanesPerCore = 1.0
  @Option(help: "Bytes summed at a time; 0 for automatic.") var bucketBytes = 0
  @Option(help: "Nodes of the tree that a node adds up at a time, a power of two; 0 for all at once.")
  var fanIn = 0
  @Option(help: ArgumentHelp("Parts that an earlier forecast has measured.", valueName: "parts.json"))
  var parts: String?
  @Option(help: "How long to measure parts, in seconds.") var seconds = 4.0
  @Option(
    help: ArgumentHelp(
      "Compare with a result of `bench step --json`; may be given several times.", valueName: "file"))
  var measured: [String] = []
  @Flag(help: "Have SimGrid replay two steps of each row.") var simgrid = false
  @Option(help: "A folder for parts.json, the forecast as JSON and CSV, and its plots; made if missing.")
  var out: String?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  /// Positive numbers, as `0.1,25`.
  struct Speeds: ExpressibleByArgument {
    let values: [Double]

    init(_ values: [Double]) { self.values = values }

    init?(argument: String) {
      let values = argument.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) ?? 0 }
      guard !values.isEmpty, values.allSatisfy({ $0 > 0 && $0.isFinite }) else { return nil }
      self.values = values
    }

    var defaultValueDescription: String { values.map { "\($0)" }.joined(separator: ",") }
  }

  func validate() throws {
    guard size > 0, classes > 1, microbatch > 0, microbatchesPerLane > 0, batch >= 0, lanes > 0, seconds > 0,
      latencyUs >= 0, messageUs >= 0, socketGbits >= 0, speed > 0, lanesPerCore > 0, bucketBytes >= 0
    else { throw ValidationError("sizes, counts and times are positive, and there are at least 2 classes") }
    guard fanIn == 0 || (fanIn > 1 && fanIn & (fanIn - 1) == 0) else {
      throw ValidationError("--fan-in expects 0 or a power of two from 2 on, got \(fanIn)")
    }
  }

  func run() throws {
    try Program.runAlone {
      if simgrid { _ = try SimGridReplay.program() }
      let measured = try measured.map(Self.step)
      var networks = try networks()
      if socketGbits > 0 {
        for index in networks.indices { networks[index].secondsPerByte = 8e-9 / socketGbits }
      }
      let parts = try measureParts()
      if let out {
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        try DurableFile.replace("\(out)/parts.json", with: Array(try JSONOutput.text(parts).utf8))
      }
      let report = try report(parts, networks, measured)
      if let out {
        try DurableFile.replace("\(out)/forecast.json", with: Array(try JSONOutput.text(report).utf8))
        try DurableFile.replace("\(out)/forecast.csv", with: Array(report.csv.utf8))
        try report.figure.write(to: out, name: "forecast")
      }
      try Program.output(json ? try JSONOutput.text(report) : report.text)
    }
  }

  private static func read<Value: Decodable>(_ path: String, from command: String) throws -> Value {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw FileError(path: path, cannot: "read")
    }
    do {
      return try JSONDecoder().decode(Value.self, from: data)
    } catch {
      throw FileError(path: path, problem: "isn't what `cnn-dist \(command)` writes")
    }
  }

  private static func step(_ path: String) throws -> StepRecord { try read(path, from: "bench step --json") }

  private func networks() throws -> [NetworkFigures] {
    guard let reduce else {
      return gbits.values.map {
        NetworkFigures(
          bytesPerSecond: $0 * 1e9 / 8, latencySeconds: latencyUs * 1e-6, messageSeconds: messageUs * 1e-6)
      }
    }
    let result: ReduceResult = try Self.read(reduce, from: "bench reduce --json")
    let network = NetworkFigures(
      result.sizes.map {
        NetworkFigures.Measured(
          bytes: $0.bytes, seconds: $0.treeSeconds,
          bytesSent: Double($0.bytesSent.reduce(0, +)) / Double(result.ranks))
      }, messageSeconds: messageUs * 1e-6)
    guard let network else {
      throw FileError(
        path: reduce, problem: "expects at least 3 sizes, sent between nodes, the larger ones taking longer")
    }
    return [network]
  }

  private func measureParts() throws -> StepParts {
    if let parts { return try Self.read(parts, from: "scale forecast --out") }
    var optimizer = OptimizerConfig()
    (optimizer.name, optimizer.learningRate, optimizer.momentum, optimizer.weightDecay) = (.sgd, 0.01, 0.9, 0)
    return try StepBenchmark(
      model: model, input: FeatureShape(channels: 3, height: size, width: size), classes: classes,
      batch: microbatch * microbatchesPerLane, microbatch: microbatch, wave: microbatchesPerLane, lanes: 1,
      optimizer: optimizer,
      convolution: .auto,
      kernels: try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
    ).parts(Communicator.start(environment: [:]), seconds: seconds)
  }

  private func report(_ parts: StepParts, _ networks: [NetworkFigures], _ measured: [StepRecord]) throws
    -> ForecastReport
  {
    var report = ForecastReport(parts)
    let progress = SlowProgress("forecasts made")
    let total = networks.count * ranksPerNode.values.count * nodes.values.count
    for network in networks {
      for ranks in ranksPerNode.values {
        for nodes in nodes.values {
          let job = try job(parts, nodes: nodes, ranksPerNode: ranks, network)
          let replay = simgrid && nodes > 1 ? try SimGridReplay.run(job) : nil
          report.add(
            job, replay: replay,
            measured: measured.first { $0.ranks == job.ranks && $0.lanes == lanes && $0.batch == job.images })
          progress.show(report.rows.count, of: total)
        }
      }
    }
    return report
  }

  private func job(_ parts: StepParts, nodes: Int, ranksPerNode: Int, _ network: NetworkFigures) throws
    -> ForecastJob
  {
    let workers = nodes * ranksPerNode * lanes
    let microbatches =
      batch == 0 ? workers * microbatchesPerLane : (batch + parts.microbatch - 1) / parts.microbatch
    guard batch == 0 || batch % parts.microbatch == 0 else {
      throw RunError("--batch expects whole microbatches of \(parts.microbatch), got \(batch)")
    }
    var job = ForecastJob(
      parts: parts, nodes: nodes, ranksPerNode: ranksPerNode, lanes: lanes, microbatches: microbatches,
      network: network)
    (job.bucketBytes, job.fanIn, job.speed, job.lanesPerCore) = (bucketBytes, fanIn, speed, lanesPerCore)
    return job
  }
}
