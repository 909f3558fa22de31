import CellData
import Collectives
import Glibc
import Layers
import Models
import Tensors

/// Optimizer steps on random images, by the code that training runs.
package struct StepBenchmark: Sendable {
  package let model: String
  package let input: FeatureShape
  package let classes: Int
  package let batch: Int
  package let microbatch: Int
  package let wave: Int
  package let checkpointing: ActivationCheckpointing
  package let lanes: Int
  package let optimizer: OptimizerConfig
  package let convolution: ConvolutionChoice
  package let precision: Precision
  package let kernels: InstructionSet
  package let transfer: TransferConfig
  /// Whether the report says what each operator took.
  package let operators: Bool

  package init(
    model: String, input: FeatureShape, classes: Int, batch: Int, microbatch: Int, wave: Int,
    checkpointing: ActivationCheckpointing = .none, lanes: Int, optimizer: OptimizerConfig,
    convolution: ConvolutionChoice, precision: Precision = .fp32, kernels: InstructionSet,
    transfer: TransferConfig = TransferConfig(), operators: Bool = false
  ) {
    self.model = model
    self.input = input
    self.classes = classes
    self.batch = batch
    self.microbatch = microbatch
    self.wave = wave
    self.checkpointing = checkpointing
    self.lanes = lanes
    self.optimizer = optimizer
    self.convolution = convolution
    self.precision = precision
    self.kernels = kernels
    self.transfer = transfer
    self.operators = operators
  }

  package struct Report: Sendable {
    package let benchmark: StepBenchmark
    package let ranks: Int
    package let lanes: Int
    /// Of each step, in their order.
    package let stepSeconds: [Double]
    package let blasKernel: String
    /// Of rank 0's first lane.
    package let operatorTable: String?

    package var medianSeconds: Double { stepSeconds.sorted()[stepSeconds.count / 2] }
    package var meanSeconds: Double { stepSeconds.reduce(0, +) / Double(stepSeconds.count) }
    /// Of the median step.
    package var imagesPerSecond: Double { Double(benchmark.batch) / medianSeconds }
    /// Of all steps together, with what disturbed them: what a job gets.
    package var meanImagesPerSecond: Double { Double(benchmark.batch) / meanSeconds }

    package var text: String {
      let milliseconds = (medianSeconds * 1e5).rounded() / 100
      return """
        \(benchmark.model) \(benchmark.input), batch \(benchmark.batch) in microbatches of \(benchmark.microbatch), \
        \(ranks) rank(s) × \(lanes) lane(s), \(benchmark.kernels), convolution \(benchmark.convolution), \
        \(benchmark.precision), \(blasKernel), frozen: \(benchmark.transfer.freeze)
        median of \(stepSeconds.count) steps: \(milliseconds) ms, \((imagesPerSecond * 10).rounded() / 10) images/s \
        (over all steps \((meanImagesPerSecond * 10).rounded() / 10))
        """ + (operatorTable.map { "\nmilliseconds of a step in the first lane\n\n\($0)" } ?? "")
    }

    /// How the steps' time divides, and what travels in one.
    package let cost: StepCost

    package var record: StepRecord {
      StepRecord(
        model: benchmark.model, size: benchmark.input.height, channels: benchmark.input.channels,
        classes: benchmark.classes, batch: benchmark.batch, microbatch: benchmark.microbatch, ranks: ranks,
        lanes: lanes, isa: "\(benchmark.kernels)", convolution: "\(benchmark.convolution)",
        precision: "\(benchmark.precision)", blas: blasKernel, steps: stepSeconds.count,
        stepSeconds: medianSeconds, imagesPerSecond: imagesPerSecond,
        meanImagesPerSecond: meanImagesPerSecond, allStepSeconds: stepSeconds, cost: cost)
    }
  }

  /// What the steps of a benchmark share on this rank.
  struct Place {
    let benchmark: StepBenchmark
    let network: Network
    let layout: JobLayout
    let team: ThreadTeam
    /// Images of each microbatch of a step.
    let sizes: [Int]
    /// This rank's.
    let local: [LoadedMicrobatch]

    func step(_ communicator: Communicator, mode: ReductionMode = .tree) throws -> TrainingStep {
      var settings = TrainingStep.Settings(
        layout: layout, microbatchCounts: [sizes.count], microbatch: sizes.max() ?? benchmark.microbatch,
        wave: benchmark.wave, loss: SoftmaxCrossEntropy(classes: benchmark.classes),
        optimizer: benchmark.optimizer, kernels: benchmark.kernels, timesOperators: benchmark.operators)
      settings.checkpointing = benchmark.checkpointing
      return try TrainingStep(
        network, initial: network.initialValues(seed: 0), settings: settings, communicator: communicator,
        team: team, mode: mode)
    }

    func batch(number: Int) -> StepBatch {
      let images = sizes.reduce(0, +)
      return StepBatch(
        epoch: 0, step: number, microbatches: sizes.count, images: images, denominator: Float(images),
        local: local)
    }

    /// This rank's part, as a job of its own.
    var apart: Place {
      Place(
        benchmark: benchmark, network: network, layout: .alone(lanes: team.count), team: team,
        sizes: local.map(\.images), local: local)
    }
  }

  /// Lanes stay on their cores while `body` runs. Collective.
  func withPlace<Result>(_ communicator: Communicator, _ body: (Place) throws -> Result) throws -> Result {
    let placement = try Placement.establish(communicator, lanes: lanes == 0 ? nil : lanes)
    let sizes = EpochOrder(count: batch, batch: batch, microbatch: microbatch).microbatches(ofStep: 0)
      .map(\.count)
    let network = try Network.toMeasure(
      model, input: input, classes: classes, by: convolution, in: precision, images: microbatch,
      kernels: kernels, communicator
    ).frozen(by: transfer).fused()
    let team = ThreadTeam(count: placement.own.lanes)
    let pinning = LanePinning(placement)
    pinning.bind(team)
    defer { pinning.release() }
    let layout = JobLayout(placement, communicator: communicator)
    let division = WorkDivision(microbatches: sizes.count, lanes: layout.lanes, order: layout.order)
    let local = division.rankRuns[communicator.rank].map {
      LoadedMicrobatch.random(
        input, images: sizes[$0], classes: classes, firstPosition: sizes[..<$0].reduce(0, +))
    }
    return try body(
      Place(
        benchmark: self, network: network, layout: layout, team: team, sizes: sizes, local: local))
  }

  /// Three steps to warm up, then steps for about `seconds`; the median counts.
  package func run(_ communicator: Communicator, seconds: Double) throws -> Report {
    try withPlace(communicator) { place in
      let step = try place.step(communicator)
      var times: [Double] = []
      var total = 0.0
      var number = 0
      var before = step.timeline.totals
      while true {
        let start = monotonicSeconds()
        _ = try step.run(place.batch(number: number), learningRate: optimizer.learningRate)
        let elapsed = monotonicSeconds() - start
        number += 1
        guard number > 3 else {
          step.operatorTimes?.clear()
          before = step.timeline.totals
          continue
        }
        times.append(elapsed)
        total += elapsed
        // Rank 0's clock decides, or the ranks would part.
        if try communicator.broadcast([UInt8(total > seconds && times.count >= 5 ? 1 : 0)], from: 0) == [1] {
          break
        }
      }
      let phases = try communicator.exchange(step.timeline.totals - before)
      // Messages of the last step may still be on their way, from memory that is about to go.
      try step.settle()
      return Report(
        benchmark: self, ranks: communicator.size, lanes: place.team.count, stepSeconds: times,
        blasKernel: GEMM.kernelName,
        operatorTable: step.operatorTimes?
          .table(
            of: place.network, steps: times.count,
            images: step.images(ofLane: 0, in: place.local, of: place.sizes.count), kernels: kernels),
        cost: StepCost(
          division: TimeDivision(phases, seconds: total), nodes: communicator.nodeCount,
          groups: step.reducer.groupCount,
          gradientBytes: step.reducer.buckets.extent * MemoryLayout<Float>.stride,
          bytesSent: try communicator.exchange(step.traffic.bytesSent).reduce(0, +) / communicator.size))
    }
  }
}
