import Collectives
import Tensors

/// What the tree, or all of communication, costs: steps that sum gradients up the tree beside the same steps with
/// something else in its place, taken in turn in the order A B B A, so that what drifts weighs on both alike.
package struct StepComparison: Sendable {
  /// What stands in the place of the tree.
  package enum Baseline: String, CaseIterable, Sendable {
    /// One MPI_Allreduce: what equal bits cost.
    case allReduce = "all_reduce"
    /// Every rank trains a network of its own on its own microbatches, and waits for the slowest after each step: what
    /// synchronous training could at most reach on these cores in these minutes.
    case nothing
  }

  package let baseline: Baseline
  /// Seconds of the slowest rank, by pair.
  package let tree: [Double]
  package let other: [Double]

  package init(tree: [Double], beside baseline: Baseline, _ other: [Double]) {
    precondition(tree.count == other.count && !tree.isEmpty, "a comparison expects pairs of times")
    (self.tree, self.baseline, self.other) = (tree, baseline, other)
  }

  /// The median over the pairs of tree / other.
  package var ratio: Double { Self.median(zip(tree, other).map { $0 / $1 }) }

  /// The bootstrap's 95 % interval of that ratio (Efron 1979): the pairs are drawn anew `draws` times, as many as
  /// there are and with replacement; of the ratios that come out, 2.5 % lie below it and 2.5 % above.
  package func interval(draws: Int = 10_000) -> ClosedRange<Double> {
    let ratios = zip(tree, other).map { $0 / $1 }
    let found = (0..<draws).map { draw in
      let random = RandomStream(seed: 0, purpose: .synthesis, position: draw)
      return Self.median(ratios.indices.map { ratios[random.integer(at: $0, below: ratios.count)] })
    }.sorted()
    return found[draws / 40]...found[draws - 1 - draws / 40]
  }

  private static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }

  package var text: String {
    func milliseconds(_ seconds: [Double]) -> String { "\((Self.median(seconds) * 1e5).rounded() / 100) ms" }
    func digits(_ value: Double) -> String { "\((value * 1e4).rounded() / 1e4)" }
    let interval = interval()
    let name =
      switch baseline {
      case .allReduce: "one MPI_Allreduce"
      case .nothing: "ranks that only wait for each other"
      }
    return """
      \(tree.count) pairs of steps: tree \(milliseconds(tree)), \(name) \(milliseconds(other)) (medians)
      ratio \(digits(ratio)), 95 % interval \(digits(interval.lowerBound)) to \(digits(interval.upperBound))
      """
  }

  package var json: String {
    let interval = interval()
    return """
      {"pairs": \(tree.count), "beside": "\(baseline.rawValue)", "ratio": \(ratio), \
      "interval": [\(interval.lowerBound), \(interval.upperBound)], "tree_seconds": \(tree), \
      "other_seconds": \(other)}
      """
  }
}

extension StepBenchmark {
  /// `pairs` pairs of steps after two of each to warm up. Each step is timed until its new values are everywhere, or a
  /// part of it would fall to the next, which is of the other kind. Throws where a rank would have nothing to do by
  /// itself. Collective.
  package func compare(
    _ communicator: Communicator, beside baseline: StepComparison.Baseline, pairs: Int
  ) throws -> StepComparison {
    try withPlace(communicator) { place in
      var kinds = [(place: place, step: try place.step(communicator))]
      switch baseline {
      case .allReduce: kinds.append((place, try place.step(communicator, mode: .allReduce)))
      case .nothing:
        let fewest = -(try communicator.maximum(-place.local.count))
        guard fewest > 0 else {
          throw RunError(
            "--beside nothing expects a microbatch for each rank, got \(place.sizes.count) for \(communicator.size) ranks"
          )
        }
        kinds.append((place.apart, try place.apart.step(.alone())))
      }
      var times: [[Double]] = [[], []]
      for pair in -2..<pairs {
        // A B, B A, A B, …
        for kind in pair % 2 == 0 ? [0, 1] : [1, 0] {
          let (place, step) = kinds[kind]
          try communicator.barrier()
          let start = monotonicSeconds()
          _ = try step.run(place.batch(number: pair + 2), learningRate: optimizer.learningRate)
          try step.settle()
          let nanoseconds = Int((monotonicSeconds() - start) * 1e9)
          let slowest = Double(try communicator.maximum(nanoseconds)) * 1e-9
          if pair >= 0 { times[kind].append(slowest) }
        }
      }
      return StepComparison(tree: times[0], beside: baseline, times[1])
    }
  }
}
