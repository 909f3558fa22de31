import Collectives
import Tensors

/// What the tree costs: steps that sum gradients up the tree beside the same steps with one MPI_Allreduce in its
/// place, taken in turn in the order A B B A, so that what drifts weighs on both alike.
package struct StepComparison: Sendable {
  /// Seconds of the slowest rank, by pair.
  package let tree: [Double]
  package let allReduce: [Double]

  package init(tree: [Double], allReduce: [Double]) {
    precondition(tree.count == allReduce.count && !tree.isEmpty, "a comparison expects pairs of times")
    (self.tree, self.allReduce) = (tree, allReduce)
  }

  /// The median over the pairs of tree / all-reduce.
  package var ratio: Double { Self.median(zip(tree, allReduce).map { $0 / $1 }) }

  /// The bootstrap's 95 % interval of that ratio (Efron 1979): the pairs are drawn anew `draws` times, as many as
  /// there are and with replacement; of the ratios that come out, 2.5 % lie below it and 2.5 % above.
  package func interval(draws: Int = 10_000) -> ClosedRange<Double> {
    let ratios = zip(tree, allReduce).map { $0 / $1 }
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
    return """
      \(tree.count) pairs of steps: tree \(milliseconds(tree)), one MPI_Allreduce \(milliseconds(allReduce)) (medians)
      ratio \(digits(ratio)), 95 % interval \(digits(interval.lowerBound)) to \(digits(interval.upperBound))
      """
  }

  package var json: String {
    let interval = interval()
    return """
      {"pairs": \(tree.count), "ratio": \(ratio), "interval": [\(interval.lowerBound), \(interval.upperBound)], \
      "tree_seconds": \(tree), "all_reduce_seconds": \(allReduce)}
      """
  }
}

extension StepBenchmark {
  /// `pairs` pairs of steps after two of each to warm up. Each step is timed until its new values are everywhere, or a
  /// part of it would fall to the next, which is of the other kind. Collective.
  package func compareWithAllReduce(_ communicator: Communicator, pairs: Int) throws -> StepComparison {
    try withPlace(communicator) { place in
      let steps = try [ReductionMode.tree, .allReduce].map { try place.step(communicator, mode: $0) }
      var times: [[Double]] = [[], []]
      for pair in -2..<pairs {
        // A B, B A, A B, …
        for kind in pair % 2 == 0 ? [0, 1] : [1, 0] {
          try communicator.barrier()
          let start = monotonicSeconds()
          _ = try steps[kind].run(place.batch(number: pair + 2), learningRate: optimizer.learningRate)
          try steps[kind].settle()
          let nanoseconds = Int((monotonicSeconds() - start) * 1e9)
          let slowest = Double(try communicator.maximum(nanoseconds)) * 1e-9
          if pair >= 0 { times[kind].append(slowest) }
        }
      }
      return StepComparison(tree: times[0], allReduce: times[1])
    }
  }
}
