import Collectives
import Layers
import Tensors
import Testing
import Training

@Suite struct StepComparisonTests {
  /// Pairs whose noise both share, and a ratio of 1.02 with noise of 1 % of its own.
  private func comparison(_ pairs: Int) -> StepComparison {
    let random = RandomStream(seed: 3, purpose: .test(30))
    let base = (0..<pairs).map { 0.2 + 0.1 * Double(random.uniform(at: $0)) }
    return StepComparison(
      tree: base.enumerated().map { 1.02 * $1 * (1 + 0.01 * Double(random.normal(at: 1000 + $0))) },
      beside: .allReduce, base)
  }

  /// The median of n normal ratios strays by 1.253 σ / √n.
  @Test func theIntervalIsThatOfTheMedian() {
    for pairs in [200, 800, 2000] {
      let comparison = comparison(pairs)
      let interval = comparison.interval(draws: 1000)
      let expected = 2 * 1.96 * 1.253 * 1.02 * 0.01 / Double(pairs).squareRoot()
      let width = interval.upperBound - interval.lowerBound
      #expect(interval.contains(comparison.ratio) && interval.contains(1.02), "\(pairs): \(interval)")
      #expect(abs(width / expected - 1) < 0.25, "\(pairs) pairs: \(width), expected \(expected)")
    }
    let interval = comparison(50).interval(draws: 200)
    #expect(interval == comparison(50).interval(draws: 200))
  }

  @Test func onePairIsItsOwnInterval() {
    let one = StepComparison(tree: [3], beside: .allReduce, [2])
    #expect(one.ratio == 1.5 && one.interval(draws: 100) == 1.5...1.5)
    #expect(one.text.contains("1 pairs of steps: tree 3000.0 ms, one MPI_Allreduce 2000.0 ms (medians)"))
    #expect(one.text.contains("ratio 1.5, 95 % interval 1.5 to 1.5"))
  }

  @Test(arguments: StepComparison.Baseline.allCases)
  func stepsOfBothKindsAreTimed(baseline: StepComparison.Baseline) throws {
    let benchmark = StepBenchmark(
      model: "lenet5", input: FeatureShape(channels: 1, height: 28, width: 28), classes: 3, batch: 8,
      microbatch: 4, wave: 0, lanes: 2, optimizer: OptimizerConfig(), convolution: .auto, kernels: .detected)
    let comparison = try benchmark.compare(
      try Communicator.start(environment: [:]), beside: baseline, pairs: 3)
    #expect(comparison.tree.count == 3 && comparison.other.count == 3)
    #expect((comparison.tree + comparison.other).allSatisfy { $0 > 0 && $0 < 10 })
  }
}
