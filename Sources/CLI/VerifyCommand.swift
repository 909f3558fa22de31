import ArgumentParser
import Collectives
import Foundation
import Layers
import Tensors
import Training

/// `cnn-dist verify`: the same few steps at several numbers of ranks and lanes.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Run the same few steps at several rank and lane counts and compare every bit.",
    discussion: """
      Each row of the table is a job of its own on this machine, started by mpirun (one rank: alone). After each step \
      the hashes of all running statistics, gradients, weights and their averages are compared with those of the \
      first row. Where they differ, the first step and array are named, and the status is 1.

      Other instruction sets or convolution algorithms give other bits: each has a first row of its own, with which \
      its other rows are compared, and of which relative errors are reported: max |a - b| / max |a| of the median array and of \
      the worst.

      Examples:
        cnn-dist verify
        cnn-dist verify --ranks 1,2,3,4,8 --lanes 1,2 --config configs/blood-cells-resnet18.yaml --data cells
        cnn-dist verify --ranks 1,3 --vary reduce.shared_memory=false --vary training.wave=1
        cnn-dist verify --ranks 2,4 --mpirun "mpirun --map-by node" --mpirun "mpirun --mca btl tcp,self"
        cnn-dist verify --ranks 1,2 --isa avx512,avx2 --convolution auto,blas
        cnn-dist verify --reduction all-reduce --ranks 1,3     differs: no tree, other bits
      """)

  @Option(name: .long, help: "A YAML file; without one, a small network on synthetic cells.") var config:
    String?
  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting over those of the file.", valueName: "key=value"))
  var overrides: [String] = []
  @Option(help: "The images: a folder or a manifest.") var data: String?
  @Option(help: "Numbers of ranks, separated by commas; the first is what the others are compared with.")
  var ranks = Numbers([1, 2, 3])
  @Option(help: "Numbers of lanes in a rank, separated by commas.") var lanes = Numbers([1, 2])
  @Option(help: "Optimizer steps.") var steps = 4
  @Option(
    help: ArgumentHelp("All rows once more with a setting that must change no bit.", valueName: "key=value"))
  var vary: [String] = []
  @Option(help: "Instruction sets (ref, avx2, avx512), separated by commas.")
  var isa = Words<InstructionSet>([])
  @Option(help: "Convolution algorithms (engine.convolution), separated by commas.")
  var convolution = Words<ConvolutionChoice>([])
  @Option(help: "How sums are made: tree, or all-reduce, which is to differ.") var reduction = Reduction.tree
  @Option(help: "The command that starts ranks, with its options; rows once more for each.")
  var mpirun = ["mpirun"]
  @Flag(help: "Print one JSON object instead of text.") var json = false
  @Option(help: .hidden) var record: String?
  @Option(help: .hidden) var floats: String?

  enum Reduction: String, ExpressibleByArgument, CaseIterable {
    case tree
    case allReduce = "all-reduce"

    var mode: ReductionMode { self == .tree ? .tree : .allReduce }
  }

  /// Positive numbers, as `1,2,3`.
  struct Numbers: ExpressibleByArgument {
    let values: [Int]

    init(_ values: [Int]) { self.values = values }

    init?(argument: String) {
      let values = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
      guard !values.isEmpty, values.allSatisfy({ $0 > 0 }) else { return nil }
      self.values = values
    }

    var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }
  }

  /// Some of a few words, as `avx2,ref`.
  struct Words<Word: RawRepresentable & Sendable>: ExpressibleByArgument where Word.RawValue == String {
    let values: [Word]

    init(_ values: [Word]) { self.values = values }

    init?(argument: String) {
      let values = argument.split(separator: ",", omittingEmptySubsequences: false).map {
        Word(rawValue: String($0))
      }
      guard !values.contains(where: { $0 == nil }) else { return nil }
      self.values = values.compactMap(\.self)
    }

    var defaultValueDescription: String { values.map(\.rawValue).joined(separator: ",") }
  }

  func validate() throws {
    guard steps > 0 else { throw ValidationError("--steps expects at least 1, got \(steps)") }
    guard mpirun.allSatisfy({ !$0.split(separator: " ").isEmpty }) else {
      throw ValidationError("--mpirun expects a command")
    }
  }

  /// What is run where no configuration is given: batch norm, dropout, augmentation, and batches of 8 and 7
  /// microbatches, which fall to three ranks otherwise than the tree groups them.
  private static let small = [
    "data.image.size=32", "data.synthetic.images=160", "training.batch=60", "training.microbatch=8",
  ]

  private var settings: [String] {
    (config == nil ? Self.small : []) + overrides + (data.map { ["data.path=\(JSONText.quoted($0))"] } ?? [])
  }

  func run() throws {
    if let record { return try Program.run { try runAsRank(recording: record, $0) } }
    if case .together = try? Launch.detect(environment: ProcessInfo.processInfo.environment) {
      return try Program.run { try $0.together { throw Self.startedInAJob } }
    }
    var status: Int32 = 0
    try Program.runAlone {
      // What no job would accept is refused before the first.
      for row in rows { _ = try ConfigLoader.load(file: config, overrides: settings + row.settings) }
      let report = try compare()
      try Program.output(json ? try JSONOutput.text(report) : report.text)
      status = report.equal ? 0 : 1
    }
    if status != 0 { throw ExitCode(status) }
  }

  private static let startedInAJob = RunError(
    "verify starts ranks itself: run it without mpirun or srun (--mpirun takes their place)")

  /// One of the jobs that are compared.
  private func runAsRank(recording path: String, _ communicator: Communicator) throws -> Int32 {
    let record = try Verification.run(
      config: config, overrides: settings, steps: steps, mode: reduction.mode, floats: floats,
      communicator: communicator)
    try communicator.together {
      guard communicator.rank == 0 else { return }
      try DurableFile.write(Array(try JSONEncoder().encode(record)), to: path, waitingForDisk: false)
    }
    return 0
  }

  private func compare() throws -> VerifyReport {
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-verify-\(UUID())")
      .path
    try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    let rows = rows
    let progress = SlowProgress("jobs done")
    var report = VerifyReport(reduction: reduction.rawValue)
    // The first row of each binding.
    var firsts: [VerifyRow.Binding: (hashes: StepHashes, folder: String)] = [:]
    for (number, row) in rows.enumerated() {
      let folder = "\(scratch)/\(number)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let comparesNumbers = firsts[row.binding] == nil && Set(rows.map(\.binding)).count > 1
      let started = monotonicSeconds()
      let hashes = try job(row, comparesNumbers: comparesNumbers).run(in: folder)
      let seconds = monotonicSeconds() - started
      if let first = firsts[row.binding] {
        report.add(row, hashes, seconds: seconds, against: first.hashes)
      } else {
        let reference = firsts[rows[0].binding]?.folder
        firsts[row.binding] = (hashes, folder)
        report.add(
          row, hashes, seconds: seconds,
          errors: try reference.map {
            try Verification.errors(of: folder, against: $0, steps: hashes.steps)
          })
      }
      progress.show(number + 1, of: rows.count)
    }
    return report
  }

  /// What is compared, in the order of the table.
  private var rows: [VerifyRow] {
    let variations =
      [VerifyRow.Variation(setting: nil, launcher: mpirun[0])]
      + vary.map { VerifyRow.Variation(setting: $0, launcher: mpirun[0]) }
      + mpirun.dropFirst().map { VerifyRow.Variation(setting: nil, launcher: $0) }
    return bindings.flatMap { binding in
      variations.enumerated().flatMap { place, variation in
        ranks.values.flatMap { ranks in
          lanes.values.map { lanes in
            VerifyRow(
              ranks: ranks, lanes: lanes, binding: binding, variation: variation, isVaried: place > 0)
          }
        }
      }
    }
  }

  private var bindings: [VerifyRow.Binding] {
    let sets: [InstructionSet?] = isa.values.isEmpty ? [nil] : isa.values
    let algorithms: [ConvolutionChoice?] = convolution.values.isEmpty ? [nil] : convolution.values
    return sets.flatMap { isa in algorithms.map { VerifyRow.Binding(isa: isa, convolution: $0) } }
  }

  /// This command once more, as the ranks of a row.
  private func job(_ row: VerifyRow, comparesNumbers: Bool) -> VerifyJob {
    var words = ["--steps", "\(steps)", "--reduction", reduction.rawValue]
    if let config { words += ["--config", config] }
    for setting in settings + row.settings { words += ["--set", setting] }
    return VerifyJob(
      launcher: row.ranks == 1 ? [] : row.variation.launcher.split(separator: " ").map { String($0) },
      ranks: row.ranks, instructionSet: row.binding.isa, arguments: words, writesNumbers: comparesNumbers)
  }
}
