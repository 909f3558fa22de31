import CellData
import Collectives
import Models
import Tensors

/// Runs a trained network over images of any number, in bounded memory, on all lanes of all ranks.
///
/// Blocks of images go round the ranks. In a rank threads decode ahead; each lane takes the next block that is
/// ready, and no lane waits for another. Finished blocks wait in a window until they leave in order: to rank 0,
/// and there to a thread that writes. Lane 0, which alone may call MPI, moves messages on between two blocks.
package final class Prediction {
  package struct Settings: Sendable {
    package var features: Bool
    package var onBadImage: BadImagePolicy
    /// Those before it are done already; a multiple of the microbatch.
    package var firstImage: Int

    package init(features: Bool, onBadImage: BadImagePolicy, firstImage: Int = 0) {
      (self.features, self.onBadImage, self.firstImage) = (features, onBadImage, firstImage)
    }
  }

  package let plan: BlockPlan
  package let classes: Int
  /// Of each image; 0 where nobody asked for them.
  package let features: Int
  private let communicator: Communicator
  private let lanes: PredictingLanes
  private let depth: Int
  /// On rank 0 all blocks, elsewhere the rank's own.
  private let window: BlockWindow

  /// - Parameters:
  ///   - name: of an image, for messages.
  ///   - warn: hears of each image that can't be used, on any thread of the rank that met it.
  /// Throws `RunError` where the network has no features to give.
  package init(
    _ run: TrainedRun, of source: any ImageSource, _ settings: Settings,
    name: @escaping @Sendable (Int) -> String, warn: @escaping @Sendable (ImageError) -> Void
  ) throws {
    let (communicator, config) = (run.communicator, run.config)
    features = settings.features ? try run.featureCount() : 0
    let plan = BlockPlan(
      images: settings.firstImage..<source.count, microbatch: config.training.microbatch,
      imageBytes: run.inference.network.input.count * MemoryLayout<Float>.stride,
      lanes: run.place.placement.lanes.reduce(0, +))
    let (rank, ranks) = (communicator.rank, communicator.size)
    let tolerant = TolerantSource(source, preparation: config.imagePreparation)
    self.plan = plan
    self.communicator = communicator
    classes = run.classes.count
    let allLanes = run.place.placement.lanes
    // Lane 0 comes by once in a block, while the other lanes of its rank finish one each.
    depth = 2 * (allLanes.max() ?? 1) + 2
    // Rank 0 has room for what arrives, too.
    window = BlockWindow(room: rank == 0 ? 4 * allLanes.reduce(0, +) + depth * ranks : 4 * allLanes[rank])
    let prefetcher = Prefetcher(
      source: settings.onBadImage == .skip ? tolerant : source, pipeline: run.pipeline,
      microbatch: plan.microbatch, threads: run.place.loaders, stepsAhead: run.place.team.count + 2
    ) { step in
      let block = step * ranks + rank
      return block < plan.count ? plan.requests(of: block) : nil
    }
    lanes = PredictingLanes(
      inference: run.inference, prefetcher: prefetcher, plan: plan, tolerant: tolerant, window: window,
      rank: rank, ranks: ranks, features: features, name: name, warn: warn)
  }

  /// Predicts; on rank 0 `receive` gets each block in order, on a thread of its own. Collective; an error comes on
  /// the rank that meets it alone, and ends the job there. Returns the share of the time in which this rank's
  /// lanes computed.
  package func run(_ receive: @escaping @Sendable (PredictedBlock) throws -> Void) throws -> Double {
    let gather = BlockGather(communicator, blocks: plan.count, depth: depth) { [plan, classes, features] in
      plan.images(of: $0).count * (classes + features)
    }
    let writer = communicator.rank == 0 ? writer(receive) : nil
    let start = monotonicSeconds()
    let waited = lanes.run { [window, rank = communicator.rank] in
      try gather.advance { window.offer($0, $1) }
      if rank > 0 {
        while gather.hasRoom, let values = window.takeIfReady() { try gather.send(values) }
      }
      return gather.isDone
    }
    writer?.join()
    if let failure = window.failure { throw failure }
    let whole = (monotonicSeconds() - start) * Double(lanes.count)
    return whole > 0 ? 1 - waited / whole : 1
  }

  private func writer(_ receive: @escaping @Sendable (PredictedBlock) throws -> Void) -> WorkerThread {
    WorkerThread { [plan, classes, features, window] in
      for block in 0..<plan.count {
        guard let values = window.take() else { return }
        do {
          try receive(
            PredictedBlock(
              images: plan.images(of: block), classes: classes, features: features, values: values))
        } catch {
          return window.fail(error)
        }
      }
    }
  }
}
