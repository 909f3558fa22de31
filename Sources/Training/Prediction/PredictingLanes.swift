import CellData
import Glibc
import Layers
import Tensors

/// The lanes of a rank in `Prediction`: each takes blocks as they are ready, and puts its answers in the window.
final class PredictingLanes: Sendable {
  private let inference: Inference
  private let prefetcher: Prefetcher
  private let plan: BlockPlan
  private let tolerant: TolerantSource
  private let window: BlockWindow
  private let rank: Int
  private let ranks: Int
  private let features: Int
  private let name: @Sendable (Int) -> String
  private let warn: @Sendable (ImageError) -> Void
  /// Seconds in which lanes had nothing to compute.
  private let waited = Monitor(0.0)

  init(
    inference: Inference, prefetcher: Prefetcher, plan: BlockPlan, tolerant: TolerantSource,
    window: BlockWindow, rank: Int, ranks: Int, features: Int, name: @escaping @Sendable (Int) -> String,
    warn: @escaping @Sendable (ImageError) -> Void
  ) {
    (self.inference, self.prefetcher, self.plan) = (inference, prefetcher, plan)
    (self.tolerant, self.window, self.rank, self.ranks) = (tolerant, window, rank, ranks)
    (self.features, self.name, self.warn) = (features, name, warn)
  }

  var count: Int { inference.team.count }

  /// Until all blocks are done, or something fails: then the window knows. `moveOn` is called on lane 0, between
  /// blocks and at the end until it says that nothing is left to wait for. Returns the seconds that lanes waited.
  func run(movingOn moveOn: @escaping @Sendable () throws -> Bool) -> Double {
    inference.prepare()
    inference.team.run { [self] lane in
      do {
        try compute(on: lane) { if lane == 0 { _ = try moveOn() } }
        if lane == 0 { try wait { try moveOn() } }
      } catch {
        window.fail(error)
      }
    }
    return waited.update { $0 }
  }

  private func compute(on lane: Int, movingOn moveOn: () throws -> Void) throws {
    while window.failure == nil {
      let start = monotonicSeconds()
      guard let step = try prefetcher.next() else { return }
      waited.update { $0 += monotonicSeconds() - start }
      let block = step.step * ranks + rank
      let values = try answers(to: step, plan.images(of: block), on: lane)
      prefetcher.recycle(step)
      // On rank 0 the window has all blocks, elsewhere the rank's own.
      let number = rank == 0 ? block : step.step
      let computed = monotonicSeconds()
      if lane == 0 {
        try wait {
          try moveOn()
          return window.offer(number, values)
        }
        try moveOn()
      } else {
        window.put(number, values)
      }
      waited.update { $0 += monotonicSeconds() - computed }
    }
  }

  /// Asks again and again, since lane 0 has messages to move on meanwhile.
  private func wait(until isDone: () throws -> Bool) throws {
    while try !isDone(), window.failure == nil { usleep(100) }
  }

  private func answers(to step: StepImages, _ images: Range<Int>, on lane: Int) throws -> FloatBuffer {
    let classes = inference.network.classes
    let values = FloatBuffer(count: images.count * (classes + features))
    let featureRows = values.pointer + images.count * classes
    for microbatch in step.microbatches {
      let first = microbatch.request.firstPosition - images.lowerBound
      inference.predict(
        LoadedMicrobatch(microbatch, seed: 0), on: lane, into: values.pointer + first * classes)
      if features > 0 { inference.features(on: lane, into: featureRows + first * features) }
    }
    for place in 0..<images.count
    where !(0..<classes).allSatisfy({ values[place * classes + $0].isFinite }) {
      throw RunError("\(name(images.lowerBound + place)): the network's answer is not finite")
    }
    for bad in tolerant.takeBad(in: images) {
      warn(bad.error)
      let place = bad.image - images.lowerBound
      (values.pointer + place * classes).update(repeating: .nan, count: classes)
      (featureRows + place * features).update(repeating: .nan, count: features)
    }
    return values
  }
}
