import Layers
import Tensors
import Training
import XCTest

/// Steps by the tree beside steps with something else in its place, on the ranks of a job.
final class ComparisonTests: XCTestCase {
  private let job = Job.communicator

  private func benchmark(microbatches: Int) -> StepBenchmark {
    StepBenchmark(
      model: "lenet5", input: FeatureShape(channels: 1, height: 28, width: 28), classes: 3,
      batch: 4 * microbatches, microbatch: 4, wave: 0, lanes: 1, optimizer: OptimizerConfig(),
      convolution: .auto, kernels: .detected)
  }

  func testAllRanksTimeTheSlowest() throws {
    for baseline in StepComparison.Baseline.allCases {
      let comparison = try benchmark(microbatches: job.size + 1).compare(job, beside: baseline, pairs: 3)
      let own = comparison.tree + comparison.other
      XCTAssertEqual(own.count, 6, "\(baseline)")
      for seconds in own {
        XCTAssertEqual(try job.maximum(Int(seconds * 1e9 + 0.5)), Int(seconds * 1e9 + 0.5), "\(baseline)")
      }
    }
  }

  /// By itself a rank without a microbatch has nothing to do.
  func testRanksWithoutAMicrobatchAreRefusedOnAll() throws {
    guard job.size > 1 else { return }
    XCTAssertThrowsError(try benchmark(microbatches: job.size - 1).compare(job, beside: .nothing, pairs: 1)) {
      XCTAssertEqual(
        "\($0)",
        "--beside nothing expects a microbatch for each rank, got \(job.size - 1) for \(job.size) ranks")
    }
  }
}
