import ArgumentParser
import Foundation
import Layers
import Models
import Tensors
import Training

/// `cnn-dist bench kernels`: every convolution algorithm on a list of shapes, or on those of a model.
struct BenchKernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Time the convolution algorithms over a list of shapes, on one core.",
    discussion: """
      A list has a line for each shape: a name, then ic=, oc=, size=, kernel= and, where they aren't 1
      (padding: 0), stride=, padding=, dilation=, groups=; planar=1 where it reads the images themselves.
      GFLOP/s are those of a direct convolution in the same time, so a Winograd algorithm may pass the
      peak. The error is the largest difference from sums in double, over the largest of these.

      --tune finds the fastest algorithm for each shape and pass among those whose error is at most 1e-5, and keeps \
      it for this kind of CPU in cnn-dist/kernels.json under XDG_CACHE_HOME (~/.cache). A run with \
      engine.convolution: tuned begins with them; its configuration keeps them.

      Examples:
        cnn-dist bench kernels configs/bench/resnet18.txt
        cnn-dist bench kernels --model resnet18 --size 64 --tune
        CNN_DIST_ISA=avx2 cnn-dist bench kernels configs/bench/engine.txt --algorithm winograd4 --json
      """)

  @Argument(help: "The list of shapes.") var list: String?
  @Option(help: "In the place of a list: the layers of a model, by its name in the zoo.") var model: String?
  @Option(help: "With --model: height and width of the images, in pixels.") var size = 64
  @Option(help: "With --model: channels of the images.") var channels = 3
  @Option(help: "With --model: number of classes.") var classes = 8
  @Option(help: "Images in a call.") var images = 16
  @Option(help: "Only this algorithm.") var algorithm: String?
  @Option(help: "How long to measure each, in seconds.") var seconds = 0.2
  @Flag(help: "Keep the fastest for runs with engine.convolution: tuned.") var tune = false
  @Flag(help: "Print a JSON object a line instead of a table.") var json = false

  func validate() throws {
    guard (list == nil) != (model == nil) else {
      throw ValidationError("expects a list of shapes or --model NAME")
    }
    guard images > 0, seconds > 0, size > 0, channels > 0, classes > 1 else {
      throw ValidationError("sizes, counts and --seconds are positive, and there are at least 2 classes")
    }
    guard !tune || algorithm == nil else { throw ValidationError("--tune compares all algorithms") }
  }

  func run() throws {
    try Program.runAlone {
      let kernels = try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      let names = ConvolutionBenchmark.names(kernels)
      if let algorithm, !names.contains(algorithm) {
        throw ShapeListError(
          path: "--algorithm", problem: "expects one of \(names.joined(separator: ", ")), got \(algorithm)")
      }
      let cases = try cases()
      let peak = MachinePeak.measure(kernels)
      if !json {
        try Program.output(
          "\(images) images, \(kernels), one core: \(Int(peak.gigaflops.rounded())) GFLOP/s at most\n\n"
            + "shape               pass     algorithm   GFLOP/s  of peak      ms  prepare ms    error")
      }
      if tune { return try tune(cases, kernels, peak) }
      for one in cases { try measure(one, kernels, peak) }
    }
  }

  private typealias Case = (name: String, shape: ConvolutionShape)

  /// A shape that several layers of a model have comes once, by the name of the first.
  private func cases() throws -> [Case] {
    if let model {
      let input = FeatureShape(channels: channels, height: size, width: size)
      var known: Set<String> = []
      return try ModelZoo.network(model, input: input, options: .init(classes: classes))
        .convolutions(images: images).filter { known.insert($0.shape.key).inserted }
    }
    let list = list ?? ""
    guard let text = try? String(contentsOfFile: list, encoding: .utf8) else {
      throw ShapeListError(path: list, problem: "can't be read")
    }
    return try ConvolutionCase.list(text, path: list).map { ($0.name, $0.shape(images: images)) }
  }

  private func measure(_ one: Case, _ kernels: InstructionSet, _ peak: MachinePeak) throws {
    let benchmark = ConvolutionBenchmark(one.shape, kernels: kernels)
    for pass in benchmark.passes {
      let reference = benchmark.reference(pass)
      for name in benchmark.algorithms(pass) + ["ref"]
      where algorithm == nil ? name != "ref" : name == algorithm {
        try show(one, benchmark.measure(name, pass, seconds: seconds, reference: reference), kernels, peak)
      }
    }
  }

  private func tune(_ cases: [Case], _ kernels: InstructionSet, _ peak: MachinePeak) throws {
    let path = KernelTimes.path
    // What is damaged gives way to what is measured now.
    var times = (try? KernelTimes(path: path)) ?? KernelTimes()
    for one in cases {
      let found = try ConvolutionTuning(one.shape, kernels: kernels, seconds: seconds)
        .run { try show(one, $0, kernels, peak) }
      times.insert(KernelTimes.Entry(one.shape, isa: kernels, cpu: CPUModel.name, algorithms: found))
      try Program.output(
        json
          ? """
          {"shape": "\(one.name)", "images": \(images), "isa": "\(kernels)", "fastest": "\(found)"}
          """ : "\(one.name): \(found)")
    }
    try times.write(to: path)
    Program.say("\(cases.count) shapes kept in \(path)")
  }

  private func show(
    _ one: Case, _ figure: ConvolutionBenchmark.Figure, _ kernels: InstructionSet, _ peak: MachinePeak
  ) throws {
    try Program.output(
      json ? Self.json(one.name, figure, kernels, images) : Self.row(one.name, figure, peak))
  }

  private static func row(
    _ shape: String, _ figure: ConvolutionBenchmark.Figure, _ peak: MachinePeak
  ) -> String {
    func left(_ text: String, _ width: Int) -> String {
      text.padding(toLength: max(width, text.count), withPad: " ", startingAt: 0)
    }
    func right(_ value: Double, _ decimals: Int, _ width: Int) -> String {
      let text = String(format: "%.\(decimals)f", value)
      return String(repeating: " ", count: max(0, width - text.count)) + text
    }
    return left(shape, 19) + " " + left(figure.pass, 8) + " " + left(figure.algorithm, 11)
      + right(figure.gigaflops, 0, 8) + right(100 * figure.gigaflops / peak.gigaflops, 0, 8) + "%"
      + right(figure.seconds * 1e3, 3, 8) + right(figure.prepareSeconds * 1e3, 3, 12)
      + String(format: "  %.1e", figure.error)
  }

  private static func json(
    _ shape: String, _ figure: ConvolutionBenchmark.Figure, _ kernels: InstructionSet, _ images: Int
  ) -> String {
    """
    {"shape": "\(shape)", "images": \(images), "pass": "\(figure.pass)", \
    "algorithm": "\(figure.algorithm)", "isa": "\(kernels)", "gigaflops": \(figure.gigaflops), \
    "seconds": \(figure.seconds), "prepare_seconds": \(figure.prepareSeconds), "error": \(figure.error)}
    """
  }
}
