import ArgumentParser
import Foundation
import Layers
import Tensors

/// `cnn-dist bench peak`: what one core can do at most.
struct BenchPeakCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peak",
    abstract: "Measure what one core can do at most: multiply-adds and memory bandwidth.",
    discussion: """
      Examples:
        cnn-dist bench peak
        CNN_DIST_ISA=avx2 cnn-dist bench peak --json
      """)

  @Flag(help: "Print one JSON object instead of text.") var json = false

  func run() throws {
    try Program.runAlone {
      let kernels = try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      let peak = MachinePeak.measure(kernels)
      if json {
        try Program.output(
          """
          {"isa": "\(kernels)", "gigaflops": \(peak.gigaflops), "gigabytes_per_second": \(peak.gigabytesPerSecond)}
          """)
      } else {
        try Program.output(
          """
          one core, \(kernels): \(Int(peak.gigaflops.rounded())) GFLOP/s of fp32 multiply-adds, \
          \(Int(peak.gigabytesPerSecond.rounded())) GB/s of memory (triad)
          """)
      }
    }
  }
}
