import ArgumentParser
import CKernels
import Foundation
import Layers
import Tensors

/// `cnn-dist bench kernels`: every convolution algorithm on a list of shapes.
struct BenchKernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Time the convolution algorithms over a list of shapes, on one core.",
    discussion: """
      A list has a line for each shape: a name, then ic=, oc=, size=, kernel= and, where they aren't 1
      (padding: 0), stride=, padding=, dilation=, groups=; planar=1 where it reads the images themselves.
      GFLOP/s are those of a direct convolution in the same time, so a Winograd algorithm may pass the
      peak. The error is the largest difference from sums in double, over the largest of these.

      Examples:
        cnn-dist bench kernels configs/bench/resnet18.txt
        CNN_DIST_ISA=avx2 cnn-dist bench kernels configs/bench/engine.txt --algorithm winograd4 --json
      """)

  @Argument(help: "The list of shapes.") var list: String
  @Option(help: "Images in a call.") var images = 16
  @Option(help: "Only this algorithm.") var algorithm: String?
  @Option(help: "How long to measure each, in seconds.") var seconds = 0.2
  @Flag(help: "Print a JSON object a line instead of a table.") var json = false

  func validate() throws {
    guard images > 0, seconds > 0 else { throw ValidationError("--images and --seconds are positive") }
  }

  func run() throws {
    try Program.runAlone {
      let kernels = try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      let names = ConvolutionBenchmark.names(kernels)
      if let algorithm, !names.contains(algorithm) {
        throw ShapeListError(
          path: list,
          problem:
            "--algorithm expects one of \(names.joined(separator: ", ")), got \(algorithm)")
      }
      guard let text = try? String(contentsOfFile: list, encoding: .utf8) else {
        throw ShapeListError(path: list, problem: "can't be read")
      }
      let cases = try ConvolutionCase.list(text, path: list)
      let peak = MachinePeak.measure(kernels)
      if !json {
        try Program.output(
          "\(images) images, \(kernels), one core: \(Int(peak.gigaflops.rounded())) GFLOP/s at most\n\n"
            + "shape               pass     algorithm   GFLOP/s  of peak      ms  prepare ms    error")
      }
      for shape in cases { try measure(shape, kernels, peak) }
    }
  }

  private func measure(_ shape: ConvolutionCase, _ kernels: InstructionSet, _ peak: MachinePeak) throws {
    let benchmark = ConvolutionBenchmark(shape, images: images, kernels: kernels)
    for pass in ConvolutionBenchmark.passes where !(shape.isPlanar && pass == CNN_CONV_BACKWARD_DATA) {
      let names = benchmark.algorithms(pass).filter { algorithm == nil ? $0 != "ref" : $0 == algorithm }
      for name in names {
        let figure = benchmark.measure(name, pass, seconds: seconds)
        try Program.output(json ? Self.json(shape, figure, kernels, images) : Self.row(shape, figure, peak))
      }
    }
  }

  private static func row(
    _ shape: ConvolutionCase, _ figure: ConvolutionBenchmark.Figure, _ peak: MachinePeak
  ) -> String {
    func left(_ text: String, _ width: Int) -> String {
      text.padding(toLength: max(width, text.count), withPad: " ", startingAt: 0)
    }
    func right(_ value: Double, _ decimals: Int, _ width: Int) -> String {
      let text = String(format: "%.\(decimals)f", value)
      return String(repeating: " ", count: max(0, width - text.count)) + text
    }
    return left(shape.name, 19) + " " + left(figure.pass, 8) + " " + left(figure.algorithm, 11)
      + right(figure.gigaflops, 0, 8) + right(100 * figure.gigaflops / peak.gigaflops, 0, 8) + "%"
      + right(figure.seconds * 1e3, 3, 8) + right(figure.prepareSeconds * 1e3, 3, 12)
      + String(format: "  %.1e", figure.error)
  }

  private static func json(
    _ shape: ConvolutionCase, _ figure: ConvolutionBenchmark.Figure, _ kernels: InstructionSet, _ images: Int
  ) -> String {
    """
    {"shape": "\(shape.name)", "images": \(images), "pass": "\(figure.pass)", \
    "algorithm": "\(figure.algorithm)", "isa": "\(kernels)", "gigaflops": \(figure.gigaflops), \
    "seconds": \(figure.seconds), "prepare_seconds": \(figure.prepareSeconds), "error": \(figure.error)}
    """
  }
}
