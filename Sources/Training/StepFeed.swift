import CellData
import Tensors

/// The steps of a run, one after another, with this rank's images loaded ahead.
final class StepFeed {
  private let job: TrainingJob
  private let prefetcher: Prefetcher
  private let epochs: EpochLabels
  private var step: Int

  init(_ job: TrainingJob, firstStep: Int) {
    self.job = job
    step = firstStep
    let epochs = EpochLabels(job)
    self.epochs = epochs
    let order = job.order
    let runs = Dictionary(
      uniqueKeysWithValues: order.microbatchCounts.map { ($0, job.step.run(ofStepWith: $0)) })
    let totalSteps = order.stepsPerEpoch * job.config.training.epochs
    prefetcher = Prefetcher(
      source: job.data.cache, pipeline: job.data.pipeline, microbatch: job.config.training.microbatch,
      threads: job.place.loaders, stepsAhead: 2, firstStep: firstStep
    ) { step in
      guard step < totalSteps else { return nil }
      let (epoch, inEpoch) = step.quotientAndRemainder(dividingBy: order.stepsPerEpoch)
      let microbatches = order.microbatches(ofStep: inEpoch)
      let images = epochs.images(ofEpoch: epoch)
      return (runs[microbatches.count] ?? 0..<0).map { number in
        let positions = microbatches[number]
        return MicrobatchRequest(
          epoch: epoch, firstPosition: positions.lowerBound, samples: Array(images.samples[positions]),
          labels: Array(images.labels[positions]), augment: true)
      }
    }
  }

  /// The next step and the images to give back by `recycle` when it is done.
  func next() throws -> (StepBatch, StepImages) {
    let (epoch, inEpoch) = step.quotientAndRemainder(dividingBy: job.order.stepsPerEpoch)
    guard let images = try prefetcher.next() else { preconditionFailure("step \(step) lies behind the last") }
    let positions = job.order.positions(ofStep: inEpoch)
    let labels = epochs.images(ofEpoch: epoch).labels[positions]
    defer { step += 1 }
    return (
      StepBatch(
        epoch: epoch, step: step, microbatches: job.order.microbatches(ofStep: inEpoch).count,
        images: positions.count,
        denominator: job.loss.function.denominator(of: labels),
        local: images.microbatches.map { LoadedMicrobatch($0, seed: UInt64(job.config.seed)) }),
      images
    )
  }

  func recycle(_ images: StepImages) { prefetcher.recycle(images) }
  func stop() { prefetcher.stop() }
}

/// Image and label at each position of an epoch, shuffled once for all who ask.
private final class EpochLabels: Sendable {
  struct Images: Sendable {
    let samples: [Int]
    let labels: [Int32]
  }

  private let order: EpochOrder
  private let seed: UInt64
  private let training: [Int]
  private let labels: [Int32]
  /// The epoch that is computed and the next, which is loaded ahead.
  private let recent = Monitor([(epoch: Int, images: Images)]())

  init(_ job: TrainingJob) {
    order = job.order
    seed = UInt64(job.config.seed)
    training = job.data.dataset.indices(of: .train)
    labels = training.map { Int32(job.data.dataset.samples[$0].label) }
  }

  func images(ofEpoch epoch: Int) -> Images {
    if let known = recent.update({ $0.first { $0.epoch == epoch } }) { return known.images }
    let permutation = order.shuffled(seed: seed, epoch: epoch)
    let images = Images(samples: permutation.map { training[$0] }, labels: permutation.map { labels[$0] })
    recent.update { $0 = $0.suffix(1) + [(epoch, images)] }
    return images
  }
}
