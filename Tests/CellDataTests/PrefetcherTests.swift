import CellData
import Glibc
import Synchronization
import Tensors
import Testing

struct PrefetcherTests {
  private static let pipeline = ImagePipeline(
    preparation: ImagePreparation(channels: 3, size: 8, shorterSide: 12),
    normalisation: Normalisation(mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25]),
    augmentation: Augmentation(quarterTurns: true), seed: 5)

  /// Ten steps of unequal microbatches; this rank has none in step 3.
  private static func requests(_ step: Int) -> [MicrobatchRequest]? {
    guard step < 10 else { return nil }
    if step == 3 { return [] }
    return [4, 3, 3].enumerated().map { number, count in
      let first = step * 10 + number * 4
      return MicrobatchRequest(
        epoch: 1, firstPosition: first, samples: (first..<(first + count)).map { $0 * 7 % 100 },
        labels: (first..<(first + count)).map { Int32($0) }, augment: step % 2 == 0)
    }
  }

  private func prefetcher(
    _ source: any ImageSource = PatternSource(count: 100, side: 12), threads: Int, ahead: Int = 2,
    from first: Int = 0
  ) -> Prefetcher {
    Prefetcher(
      source: source, pipeline: Self.pipeline, microbatch: 4, threads: threads, stepsAhead: ahead,
      firstStep: first,
      requests: Self.requests)
  }

  @Test func givesTheSameBitsForAnyThreads() throws {
    let source = PatternSource(count: 100, side: 12)
    for (threads, ahead) in [(1, 1), (1, 3), (2, 2), (4, 5)] {
      let prefetcher = prefetcher(threads: threads, ahead: ahead)
      for step in 0..<10 {
        let given = try #require(try prefetcher.next())
        #expect(given.step == step)
        #expect(given.microbatches.map(\.request) == Self.requests(step))
        for microbatch in given.microbatches {
          let expected = FloatBuffer(count: Self.pipeline.floats(for: microbatch.count))
          for (number, sample) in microbatch.samples.enumerated() {
            let image = try source.load(sample)
            let view =
              step % 2 == 0
              ? Self.pipeline.trainingView(
                of: image, epoch: 1, position: microbatch.request.firstPosition + number)
              : Self.pipeline.centreView(of: image)
            Self.pipeline.place(image, view, into: expected.pointer, number: number, of: microbatch.count)
          }
          #expect(Array(microbatch.images.values.prefix(expected.count)) == expected.values)
        }
        prefetcher.recycle(given)
      }
      #expect(try prefetcher.next() == nil)
      #expect(try prefetcher.next() == nil)
    }
  }

  @Test func startsAnywhere() throws {
    let prefetcher = prefetcher(threads: 2, from: 8)
    #expect(try prefetcher.next()?.step == 8)
    #expect(try prefetcher.next()?.step == 9)
    #expect(try prefetcher.next() == nil)
  }

  @Test func usesBuffersAgain() throws {
    let prefetcher = prefetcher(threads: 2, ahead: 2)
    var buffers: Set<ObjectIdentifier> = []
    var kept: [FloatBuffer] = []  // so that no address comes back by chance
    while let step = try prefetcher.next() {
      for microbatch in step.microbatches {
        buffers.insert(ObjectIdentifier(microbatch.images))
        kept.append(microbatch.images)
      }
      prefetcher.recycle(step)
    }
    // Two steps ahead and the one in use, three microbatches each; 27 without recycling.
    #expect(buffers.count <= 9)
    #expect(kept.count == 27)
  }

  @Test func staysWithinItsLead() throws {
    let source = CountingSource()
    let prefetcher = prefetcher(source, threads: 2, ahead: 1)
    let first = try #require(try prefetcher.next())
    _ = try #require(try prefetcher.next())
    // Steps 0 and 1 are given, step 2 may be under way, step 3 is empty, step 4 may not have begun.
    #expect(source.loaded.load(ordering: .relaxed) <= 30)
    prefetcher.stop()
    prefetcher.recycle(first)
    #expect(try prefetcher.next() == nil)
  }

  @Test func throwsAtTheStepOfTheBadImage() throws {
    // Images 63 (position 9, third microbatch), 49 (position 7, second) and 42 (position 6) of step 0, and
    // image 5 (position 15) of step 1.
    for threads in 1...3 {
      let prefetcher = prefetcher(
        PatternSource(count: 100, side: 12, bad: [63, 49, 42, 5]), threads: threads, ahead: 3)
      #expect(throws: ImageError(path: "42", problem: "is bad")) { try prefetcher.next() }
      #expect(throws: ImageError(path: "5", problem: "is bad")) { try prefetcher.next() }
      #expect(try prefetcher.next()?.step == 2)
    }
  }

  @Test(.timeLimit(.minutes(1))) func endsWhenNobodyTakesItsSteps() throws {
    for threads in 1...3 {
      let source = CountingSource()
      do {
        let prefetcher = prefetcher(source, threads: threads, ahead: 2)
        _ = try prefetcher.next()
      }
      // Let go, its threads are joined: nothing is loaded any more, and not all that was planned.
      let count = source.loaded.load(ordering: .relaxed)
      #expect(count < 30)
      usleep(60_000)
      #expect(source.loaded.load(ordering: .relaxed) == count)
    }
  }
}

/// Counts its images, which take two milliseconds each.
private final class CountingSource: ImageSource {
  let count = 100
  let loaded = Atomic(0)

  func load(_ index: Int) throws(ImageError) -> PixelImage {
    loaded.add(1, ordering: .relaxed)
    usleep(2000)
    return patterned(width: 12, height: 12, channels: 3, salt: index)
  }
}
