import ArgumentParser
import Collectives
import Foundation
import Reports
import Tensors
import Training

/// `cnn-dist scale`: strong and weak scaling, measured.
struct ScaleRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Measure strong and weak scaling (the word run may be left out).",
    discussion: """
      Each point, some ranks of some lanes each, is a job of `bench step`, started by mpirun (one rank: alone). Rounds \
      go through all points, every second one backwards. Beside each point on one node as many independent processes \
      run at the same time, each on a core of its own: what memory and clock take is nobody's communication. \
      Efficiency is of images a second over all steps, round by round.

      Weak scaling keeps the images of a lane (--images-per-lane), strong scaling those of a step (--batch). --out \
      gets scale.json, scale.csv, plots (scale.svg, scale.png) and each job's result.

      Inside an allocation --mpirun says what starts ranks. --slurm writes a batch script for each point instead; \
      when those jobs are done, --collect makes the report.

      Examples:
        cnn-dist scale --ranks 1,2 --model resnet18
        cnn-dist scale --ranks 1,2,4 --scaling weak --images-per-lane 32 --out scaling
        cnn-dist scale --ranks 1,2 --compare earlier/scale.json --json
        salloc -N 4 cnn-dist scale --ranks 1,2,4 --lanes 32 --mpirun "srun --mpi=pmix --ntasks-per-node=1"
        cnn-dist scale --ranks 8,16 --out scaling --slurm --sbatch "--partition=cpu --time=10 --ntasks-per-node=8"
        cnn-dist scale --collect scaling
      """)

  @Option(help: "The model, by its name in the zoo.") var model = "seed_cnn"
  @Option(help: "Height and width of the images, in pixels.") var size = 64
  @Option(help: "Number of classes.") var classes = 8
  @Option(help: "Images in a microbatch.") var microbatch = 16
  @Option(help: "Numbers of ranks, separated by commas.") var ranks = VerifyCommand.Numbers([1, 2])
  @Option(help: "Numbers of lanes in a rank, separated by commas.") var lanes = VerifyCommand.Numbers([1])
  @Option(help: "What stays the same: weak (the images of a lane), strong (of a step), or both.")
  var scaling = Kind.both
  @Option(help: "Weak scaling: images of a lane in a step.") var imagesPerLane = 64
  @Option(help: "Strong scaling: images in a step; 0 for 64 for each lane of the largest point.") var batch =
    0
  @Option(help: "How often to go through all points.") var rounds = 5
  @Option(help: "How long to measure a point in a round, in seconds.") var seconds = 4.0
  @Option(help: "The command that starts ranks, with its options.") var mpirun = "mpirun"
  @Option(help: "Money for an hour of a core: adds the price of a million images.") var corePrice: Double?
  @Flag(inversion: .prefixedNo, help: "Run as many independent processes beside each point.")
  var independent = true
  @Option(help: "A folder for the report and the results of all jobs; made if missing.") var out: String?
  @Option(help: ArgumentHelp("Compare with the scale.json of an earlier run.", valueName: "scale.json"))
  var compare: String?
  @Flag(help: "Write a batch script for each point into --out instead of running anything.") var slurm = false
  @Option(help: "With --slurm: options for all scripts, as sbatch takes them.") var sbatch = ""
  @Option(
    help: ArgumentHelp("Make the report of a folder that --out or --slurm has filled.", valueName: "folder"))
  var collect: String?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case weak, strong, both

    var scalings: [ScalePlan.Scaling] {
      switch self {
      case .weak: [.weak]
      case .strong: [.strong]
      case .both: [.weak, .strong]
      }
    }
  }

  func validate() throws {
    guard size > 0, classes > 1, microbatch > 0, imagesPerLane > 0, batch >= 0, rounds > 0, seconds > 0,
      corePrice ?? 1 > 0
    else { throw ValidationError("sizes and counts are positive, and there are at least 2 classes") }
    guard !mpirun.split(separator: " ").isEmpty else { throw ValidationError("--mpirun expects a command") }
    guard !slurm || (out != nil && collect == nil) else {
      throw ValidationError("--slurm expects --out, the folder for its scripts and their results")
    }
    guard slurm || sbatch.isEmpty else { throw ValidationError("--sbatch goes with --slurm") }
    if let small = points.first(where: { $0.batch < $0.workers }) {
      throw ValidationError(
        "\(small.workers) lanes expect at least as many images in a step, got --batch \(small.batch)")
    }
  }

  private var points: [ScalePlan.Point] {
    let most = (ranks.values.max() ?? 1) * (lanes.values.max() ?? 1)
    return ScalePlan.points(
      ranks: ranks.values, lanes: lanes.values, scalings: scaling.scalings, imagesPerLane: imagesPerLane,
      batch: batch == 0 ? 64 * most : batch)
  }

  private var plan: ScalePlan {
    ScalePlan(
      model: model, size: size, microbatch: microbatch,
      arguments: [
        "--model", model, "--size", "\(size)", "--classes", "\(classes)", "--microbatch", "\(microbatch)",
        "--seconds", "\(seconds)",
      ],
      points: points, rounds: rounds, cores: ScaleJobs.cores.count, cpu: CPUModel.name,
      version: Version.current, launcher: mpirun.split(separator: " ").map(String.init),
      coreHourPrice: corePrice, independent: independent && !slurm)
  }

  func run() throws {
    if case .together = try? Launch.detect(environment: ProcessInfo.processInfo.environment) {
      return try Program.run { try $0.together { throw Self.startedInAJob } }
    }
    try Program.runAlone {
      let earlier = try compare.map(ScaleFolder.report)
      let report: ScaleReport
      if let collect {
        report = try ScaleFolder(collect).report()
      } else if slurm, let out {
        return try Program.output(try SlurmScripts(plan: plan, options: sbatch).write(to: ScaleFolder(out)))
      } else {
        report = try measure()
      }
      if let folder = collect ?? out { try ScaleFolder(folder).write(report) }
      try tell(report, earlier)
    }
  }

  private static let startedInAJob = RunError(
    "scale starts ranks itself: run it without mpirun or srun (--mpirun takes their place)")

  private func measure() throws -> ScaleReport {
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-scale-\(UUID())")
      .path
    let folder = ScaleFolder(out ?? scratch)
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    let plan = plan
    try folder.begin(plan)
    let jobs = ScaleJobs(plan: plan, folder: folder)
    let progress = SlowProgress("points measured")
    var done = 0
    for round in 0..<plan.rounds {
      for point in plan.order(ofRound: round) {
        try jobs.measure(point, round: round)
        done += 1
        progress.show(done, of: plan.rounds * plan.points.count)
      }
    }
    return try folder.report()
  }

  private func tell(_ report: ScaleReport, _ earlier: ScaleReport?) throws {
    if json { return try Program.output(try JSONOutput.text(report)) }
    var text = report.text
    if let earlier {
      let differences = report.differences(from: earlier)
      if !differences.isEmpty {
        text += "\n\nthe earlier report is of something else: " + differences.joined(separator: "; ")
      }
      text += "\n\n" + report.comparison(with: earlier)
    }
    try Program.output(text)
  }
}
