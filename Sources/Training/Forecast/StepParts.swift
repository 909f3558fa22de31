import CKernels
import Collectives
import Tensors

/// What a step is made of on one lane, measured: what a forecast puts together for other numbers of ranks.
package struct StepParts: Codable, Sendable, Equatable {
  /// What the operators of a lane take in a step in which it has so many microbatches.
  package struct Wave: Codable, Sendable, Equatable {
    package var microbatches: Int
    /// By node, seconds.
    package var forward: [Double]
    package var backward: [Double]
    /// Loss, loading, and what else a step takes outside of operators and updates.
    package var other: Double

    package init(microbatches: Int, forward: [Double], backward: [Double], other: Double) {
      (self.microbatches, self.forward, self.backward, self.other) = (microbatches, forward, backward, other)
    }
  }

  package var model: String
  package var size: Int
  package var microbatch: Int
  package var isa: String
  package var cpu: String
  /// Of the flat buffer, in floats: each node's parameters, all parameters, and everything that is summed.
  package var parameterRanges: [Range<Int>]
  package var parameterExtent: Int
  package var extent: Int
  /// By microbatches, ascending.
  package var waves: [Wave]
  /// Of all values by one lane.
  package var updateSeconds: Double
  /// How fast a lane adds sums to sums.
  package var addBytesPerSecond: Double
  /// Steps of one rank alone over their median: how uneven a rank is by itself.
  package var noise: [Double]

  enum CodingKeys: String, CodingKey {
    case model, size, microbatch, isa, cpu, extent, waves, noise
    case parameterRanges = "parameter_ranges"
    case parameterExtent = "parameter_extent"
    case updateSeconds = "update_seconds"
    case addBytesPerSecond = "add_bytes_per_second"
  }

  package init(
    model: String, size: Int, microbatch: Int, isa: String, cpu: String, parameterRanges: [Range<Int>],
    parameterExtent: Int, extent: Int, waves: [Wave], updateSeconds: Double, addBytesPerSecond: Double,
    noise: [Double]
  ) {
    (self.model, self.size, self.microbatch, self.isa, self.cpu) = (model, size, microbatch, isa, cpu)
    (self.parameterRanges, self.parameterExtent, self.extent) = (parameterRanges, parameterExtent, extent)
    (self.waves, self.updateSeconds, self.addBytesPerSecond) = (waves, updateSeconds, addBytesPerSecond)
    self.noise = noise
  }

  /// What a lane with so many microbatches takes: by the straight line through the two nearest that were measured;
  /// where only one was, in proportion.
  package func wave(microbatches: Int) -> Wave {
    precondition(!waves.isEmpty, "parts expect a measured wave")
    guard waves.count > 1 else { return scaled(waves[0], to: microbatches) }
    let upper = waves.dropFirst().first { $0.microbatches >= microbatches } ?? waves[waves.count - 1]
    let lower = waves.last { $0.microbatches < upper.microbatches } ?? waves[0]
    let share = Double(microbatches - lower.microbatches) / Double(upper.microbatches - lower.microbatches)
    func line(_ a: Double, _ b: Double) -> Double { max(0, a + (b - a) * share) }
    return Wave(
      microbatches: microbatches, forward: zip(lower.forward, upper.forward).map(line),
      backward: zip(lower.backward, upper.backward).map(line), other: line(lower.other, upper.other))
  }

  private func scaled(_ wave: Wave, to microbatches: Int) -> Wave {
    let factor = Double(microbatches) / Double(wave.microbatches)
    return Wave(
      microbatches: microbatches, forward: wave.forward.map { $0 * factor },
      backward: wave.backward.map { $0 * factor }, other: wave.other * factor)
  }

  /// How much longer than one rank's mean step the slowest of `ranks` independent ones takes: the expected greatest
  /// of so many draws from what was measured, E max = Σ x₍ᵢ₎ ((i / n)ᴺ − ((i − 1) / n)ᴺ), over the mean.
  package func slowest(of ranks: Int) -> Double {
    let sorted = noise.sorted()
    guard !sorted.isEmpty else { return 1 }
    let count = Double(sorted.count)
    var below = 0.0
    var expected = 0.0
    for (index, value) in sorted.enumerated() {
      let upTo = Self.power(Double(index + 1) / count, ranks)
      expected += value * (upTo - below)
      below = upTo
    }
    return expected / (sorted.reduce(0, +) / count)
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, factor, rest) = (1.0, base, exponent)
    while rest > 0 {
      if rest % 2 == 1 { result *= factor }
      factor *= factor
      rest /= 2
    }
    return result
  }
}

extension StepBenchmark {
  /// Measures the parts of a step in this process alone, with one lane: with one microbatch and with all of
  /// `batch`, each for about `seconds`.
  package func parts(_ communicator: Communicator, seconds: Double) throws -> StepParts {
    let most = max(1, batch / microbatch)
    var parts: StepParts?
    for microbatches in Set([1, most]).sorted() {
      let measured = try with(batch: microbatches * microbatch).measureParts(communicator, seconds: seconds)
      if var known = parts {
        known.waves += measured.waves
        (known.updateSeconds, known.noise) = (measured.updateSeconds, measured.noise)
        parts = known
      } else {
        parts = measured
      }
    }
    guard let parts else { preconditionFailure("a set of microbatches expects one") }
    return parts
  }

  private func with(batch: Int) -> StepBenchmark {
    StepBenchmark(
      model: model, input: input, classes: classes, batch: batch, microbatch: microbatch, wave: wave,
      checkpointing: checkpointing, lanes: 1, optimizer: optimizer, convolution: convolution,
      precision: precision, kernels: kernels, operators: true)
  }

  private func measureParts(_ communicator: Communicator, seconds: Double) throws -> StepParts {
    precondition(communicator.size == 1, "parts are measured alone, got \(communicator.size) ranks")
    return try withPlace(communicator) { place in
      let step = try place.step(communicator)
      var times: [Double] = []
      var before = step.timeline.totals
      for number in 0... {
        let start = monotonicSeconds()
        _ = try step.run(place.batch(number: number), learningRate: optimizer.learningRate)
        if number < 2 {
          step.operatorTimes?.clear()
          before = step.timeline.totals
          continue
        }
        times.append(monotonicSeconds() - start)
        if times.count >= 3, times.reduce(0, +) > seconds { break }
      }
      let totals = step.timeline.totals - before
      try step.settle()
      let steps = Double(times.count)
      let nodes = place.network.nodes.indices
      func sum(_ node: Int, _ passes: [OperatorTimes.Pass]) -> Double {
        passes.reduce(0) { $0 + (step.operatorTimes?.seconds(of: node, $1) ?? 0) } / steps
      }
      let forward = nodes.map { sum($0, [.forward, .statistics]) }
      let backward = nodes.map { sum($0, [.again, .parameters, .data]) }
      let update = totals.seconds(in: .update) / steps
      let whole = times.reduce(0, +) / steps
      let median = times.sorted()[times.count / 2]
      return StepParts(
        model: model, size: input.height, microbatch: microbatch, isa: "\(kernels)", cpu: CPUModel.name,
        parameterRanges: place.network.nodes.map(\.parameterRange),
        parameterExtent: place.network.layout.parameterExtent, extent: step.reducer.buckets.extent,
        waves: [
          StepParts.Wave(
            microbatches: place.sizes.count, forward: forward, backward: backward,
            other: max(0, whole - (forward + backward).reduce(0, +) - update))
        ],
        updateSeconds: update, addBytesPerSecond: addingSpeed(), noise: times.map { $0 / median })
    }
  }

  /// Bytes of sums that a lane adds to other sums in a second, from memory.
  private func addingSpeed() -> Double {
    let kernels = cnn_reduction_kernels_for(kernels.kernelTable).pointee
    let (sum, term) = (FloatBuffer(count: 1 << 22), FloatBuffer(count: 1 << 22))
    kernels.add(sum.pointer, term.pointer, sum.count)
    let start = monotonicSeconds()
    for _ in 0..<4 { kernels.add(sum.pointer, term.pointer, sum.count) }
    return Double(4 * sum.count * MemoryLayout<Float>.stride) / (monotonicSeconds() - start)
  }
}
