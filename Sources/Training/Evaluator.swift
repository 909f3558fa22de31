import CellData
import Collectives
import Layers
import Tensors

/// Runs a network over images, each once on any number of ranks.
///
/// Microbatches are cut by the number of the image alone and shared out in contiguous runs, and rank 0
/// gets the probabilities in the order of the images, so metrics have the same bits at any scale.
package struct Evaluator {
  private let inference: Inference
  private let source: any ImageSource
  private let pipeline: ImagePipeline
  private let communicator: Communicator
  private let microbatch: Int
  private let lanes: Int
  private let threads: Int
  /// What lane 0 is bound by while the images are evaluated, if anything.
  private let pinning: LanePinning?

  package init(
    inference: Inference, source: any ImageSource, pipeline: ImagePipeline, communicator: Communicator,
    microbatch: Int,
    lanes: Int, threads: Int, pinning: LanePinning? = nil
  ) {
    self.inference = inference
    self.source = source
    self.pipeline = pipeline
    self.communicator = communicator
    self.microbatch = microbatch
    self.lanes = lanes
    self.threads = threads
    self.pinning = pinning
  }

  /// The class probabilities of the images numbered `samples` in the source, (N, K) row by row, on rank 0;
  /// nil on the others. Collective. `progress` hears how many of this rank's images are done.
  package func probabilities(of samples: [Int], progress: (Int, Int) -> Void = { _, _ in }) throws -> [Float]?
  {
    try rows(of: samples, width: inference.network.classes, progress: progress) {
      inference.probabilities(of: $0)
    }
  }

  /// What a node of the network gives for the images, (N, C · H · W) row by row, on rank 0; nil on the others.
  /// Collective.
  package func outputs(
    of node: Int, for samples: [Int], progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> [Float]? {
    try rows(of: samples, width: inference.network.nodes[node].shape.count, progress: progress) {
      inference.outputs(of: node, for: $0)
    }
  }

  /// A row of `width` numbers for each image, as `compute` finds them for the microbatches of a few lanes.
  private func rows(
    of samples: [Int], width: Int, progress: (Int, Int) -> Void,
    _ compute: ([LoadedMicrobatch]) -> [FloatBuffer]
  ) throws -> [Float]? {
    let microbatches = EpochOrder.microbatches(of: 0..<samples.count, size: microbatch)
    let (rank, size) = (communicator.rank, communicator.size)
    let mine = microbatches[(microbatches.count * rank / size)..<(microbatches.count * (rank + 1) / size)]
    let own = (mine.last?.upperBound ?? 0) - (mine.first?.lowerBound ?? 0)
    var rows: [Float] = []
    rows.reserveCapacity(own * width)
    let requests = { @Sendable [mine, lanes] (step: Int) -> [MicrobatchRequest]? in
      let part = mine.dropFirst(step * lanes).prefix(lanes)
      if part.isEmpty { return nil }
      return part.map { positions in
        MicrobatchRequest(
          epoch: 0, firstPosition: positions.lowerBound, samples: Array(samples[positions]),
          labels: Array(repeating: 0, count: positions.count), augment: false)
      }
    }
    func start() -> Prefetcher {
      Prefetcher(
        source: source, pipeline: pipeline, microbatch: microbatch, threads: threads, stepsAhead: 3,
        requests: requests)
    }
    let prefetcher = pinning?.startingOthers(start) ?? start()
    var done = 0
    inference.prepare()
    try communicator.together {
      while let step = try prefetcher.next() {
        for found in compute(step.microbatches.map { LoadedMicrobatch($0, seed: 0) }) { rows += found.values }
        done += step.microbatches.reduce(0) { $0 + $1.count }
        prefetcher.recycle(step)
        progress(done, own)
      }
    }
    return try communicator.gatherFloats(rows).map { Array($0.joined()) }
  }

  /// What the network gets right and wrong on labelled images, on every rank. Collective.
  package func report(
    on samples: [Int], of dataset: Dataset, progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> ClassificationReport {
    let probabilities = try probabilities(of: samples, progress: progress)
    return try communicator.fromCoordinator {
      try ClassificationReport(
        probabilities: probabilities ?? [], labels: samples.map { dataset.samples[$0].label },
        classes: dataset.classes)
    }
  }
}

extension LoadedMicrobatch {
  init(_ images: MicrobatchImages, seed: UInt64) {
    self.init(
      pixels: images.images, labels: images.labels,
      place: BatchPlace(seed: seed, epoch: images.request.epoch, firstPosition: images.request.firstPosition))
  }
}
