import Synchronization
import Tensors

/// The images of one microbatch, and where they stand in the epoch.
package struct MicrobatchRequest: Sendable, Equatable {
  package let epoch: Int
  /// Position in the epoch of the first image; the others follow it one by one.
  package let firstPosition: Int
  /// Numbers of the images in the source.
  package let samples: [Int]
  package let labels: [Int32]
  /// Training's random view, or the centre.
  package let augment: Bool

  package init(epoch: Int, firstPosition: Int, samples: [Int], labels: [Int32], augment: Bool) {
    precondition(samples.count == labels.count, "\(samples.count) images with \(labels.count) labels")
    self.epoch = epoch
    self.firstPosition = firstPosition
    self.samples = samples
    self.labels = labels
    self.augment = augment
  }
}

/// One microbatch, ready for the network.
package struct MicrobatchImages: Sendable {
  package let request: MicrobatchRequest
  /// (C, N, H, W) in its first floats, N = `count`.
  package let images: FloatBuffer

  package var count: Int { request.samples.count }
  package var labels: [Int32] { request.labels }
  package var samples: [Int] { request.samples }
}

/// A rank's microbatches of one step, in order.
package struct StepImages: Sendable {
  package let step: Int
  package let microbatches: [MicrobatchImages]
}

/// Threads that load, crop and normalise the images of the steps ahead. What they compute follows from the
/// requests alone, not from how many threads there are.
///
/// A microbatch is the unit of work, so several threads share a step. Buffers come back by `recycle` and
/// are used again: once warm, no step allocates images.
package final class Prefetcher: Sendable {
  private let crew: Crew
  private let threads: Monitor<[WorkerThread]>

  /// `requests` gives this rank's microbatches of a step, perhaps none; nil ends the series. It is a pure
  /// function, called on one of the threads, once for each step from `firstStep` on. No microbatch has more
  /// than `microbatch` images.
  package init(
    source: any ImageSource, pipeline: ImagePipeline, microbatch: Int, threads: Int, stepsAhead: Int,
    firstStep: Int = 0, requests: @escaping @Sendable (Int) -> [MicrobatchRequest]?
  ) {
    precondition(
      microbatch > 0 && threads > 0 && stepsAhead > 0,
      "a prefetcher expects positive numbers, got microbatch \(microbatch), \(threads) threads, \(stepsAhead) steps"
    )
    let crew = Crew(
      source: source, pipeline: pipeline, microbatch: microbatch, stepsAhead: stepsAhead,
      firstStep: firstStep,
      requests: requests)
    self.crew = crew
    self.threads = Monitor((0..<threads).map { _ in WorkerThread { crew.work() } })
  }

  deinit { stop() }

  /// The next step, as soon as it is ready; nil after the last, and when stopped. An image that can't be
  /// used throws at the step that it belongs to, the first of the step if there are several.
  package func next() throws(ImageError) -> StepImages? { try crew.next() }

  /// Takes back the buffers of a step that is done with.
  package func recycle(_ step: StepImages) { crew.recycle(step.microbatches.map(\.images)) }

  /// Ends the threads after the image that each is at, and waits for them.
  package func stop() {
    crew.stop()
    threads.update { threads in
      for thread in threads { thread.join() }
      threads = []
    }
  }
}

/// What the threads of a prefetcher share.
private final class Crew: Sendable {
  private typealias Outcome = Result<MicrobatchImages, ImageError>

  private struct Step {
    var outcomes: [Outcome?]
    var missing: Int
  }

  private struct Item {
    let step: Int
    let place: Int
    let request: MicrobatchRequest
  }

  private struct State {
    var nextToPlan: Int
    var nextToGive: Int
    var isPlanning = false
    var isLast = false
    var isStopped = false
    var steps: [Int: Step] = [:]
    var waiting: [Item] = []
    var spare: [FloatBuffer] = []
  }

  private enum Job {
    case plan(Int)
    case compute(Item, FloatBuffer?)
    case leave
  }

  private let source: any ImageSource
  private let pipeline: ImagePipeline
  private let microbatch: Int
  private let stepsAhead: Int
  private let requests: @Sendable (Int) -> [MicrobatchRequest]?
  private let state: Monitor<State>
  /// Beside the state, so that it can be looked at between images without the lock.
  private let isStopping = Atomic(false)

  init(
    source: any ImageSource, pipeline: ImagePipeline, microbatch: Int, stepsAhead: Int, firstStep: Int,
    requests: @escaping @Sendable (Int) -> [MicrobatchRequest]?
  ) {
    self.source = source
    self.pipeline = pipeline
    self.microbatch = microbatch
    self.stepsAhead = stepsAhead
    self.requests = requests
    state = Monitor(State(nextToPlan: firstStep, nextToGive: firstStep))
  }

  func work() {
    while true {
      switch nextJob() {
      case .leave: return
      case .plan(let step): plan(step)
      case .compute(let item, let spare):
        let buffer = spare ?? FloatBuffer(count: pipeline.floats(for: microbatch))
        let outcome = compute(item.request, into: buffer)
        state.update { state in
          state.steps[item.step]?.outcomes[item.place] = outcome
          state.steps[item.step]?.missing -= 1
          if case .failure = outcome { state.spare.append(buffer) }
        }
      }
    }
  }

  private func nextJob() -> Job {
    func canPlan(_ state: State) -> Bool {
      !state.isPlanning && !state.isLast && state.nextToPlan - state.nextToGive < stepsAhead
    }
    return state.wait(until: { $0.isStopped || !$0.waiting.isEmpty || canPlan($0) }) { state in
      if state.isStopped { return .leave }
      if !state.waiting.isEmpty { return .compute(state.waiting.removeFirst(), state.spare.popLast()) }
      state.isPlanning = true
      return .plan(state.nextToPlan)
    }
  }

  /// Asks what a step consists of; outside the lock, since the first of an epoch shuffles it.
  private func plan(_ step: Int) {
    let planned = requests(step)
    state.update { state in
      state.isPlanning = false
      guard let planned else { return state.isLast = true }
      state.nextToPlan = step + 1
      state.steps[step] = Step(
        outcomes: [Outcome?](repeating: nil, count: planned.count), missing: planned.count)
      for (place, request) in planned.enumerated() {
        precondition(
          request.samples.count <= microbatch,
          "a microbatch of \(request.samples.count) images where at most \(microbatch) are expected")
        state.waiting.append(Item(step: step, place: place, request: request))
      }
    }
  }

  private func compute(_ request: MicrobatchRequest, into buffer: FloatBuffer) -> Outcome {
    for (number, sample) in request.samples.enumerated() {
      if isStopping.load(ordering: .relaxed) { break }
      do throws(ImageError) {
        let image = try source.load(sample)
        let view =
          request.augment
          ? pipeline.trainingView(of: image, epoch: request.epoch, position: request.firstPosition + number)
          : pipeline.centreView(of: image)
        pipeline.place(image, view, into: buffer.pointer, number: number, of: request.samples.count)
      } catch {
        return .failure(error)
      }
    }
    return .success(MicrobatchImages(request: request, images: buffer))
  }

  func next() throws(ImageError) -> StepImages? {
    let taken: (number: Int, step: Step)? = state.wait(until: { state in
      state.isStopped
        || state.steps[state.nextToGive].map { $0.missing == 0 }
          ?? (state.isLast && state.nextToGive == state.nextToPlan)
    }) { state in
      guard !state.isStopped, let step = state.steps.removeValue(forKey: state.nextToGive) else { return nil }
      defer { state.nextToGive += 1 }
      return (state.nextToGive, step)
    }
    guard let taken else { return nil }
    var microbatches: [MicrobatchImages] = []
    for case .some(let outcome) in taken.step.outcomes {
      switch outcome {
      case .success(let images): microbatches.append(images)
      case .failure(let error):
        recycle(
          taken.step.outcomes.compactMap { outcome in
            guard case .success(let images) = outcome else { return nil }
            return images.images
          })
        throw error
      }
    }
    return StepImages(step: taken.number, microbatches: microbatches)
  }

  func recycle(_ buffers: [FloatBuffer]) { state.update { $0.spare += buffers } }

  func stop() {
    isStopping.store(true, ordering: .relaxed)
    state.update { $0.isStopped = true }
  }
}
