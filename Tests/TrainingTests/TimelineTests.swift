import Collectives
import Glibc
import Tensors
import Testing
import Training

@Suite struct TimelineTests {
  @Test func aTrackKeepsTheNewestSpansAndAllSums() {
    let track = Track(capacity: 3)
    for number in 0..<5 {
      track.step = number
      track.record(number % 2 == 0 ? .forward : .backward, from: Double(number), to: Double(number) + 0.5)
    }
    #expect(track.spans.map(\.start) == [2, 3, 4])
    #expect(track.spans.map(\.step) == [2, 3, 4])
    #expect(track.spans.map(\.phase) == [.forward, .backward, .forward])
    #expect(track.lost == 2)
    #expect(track.seconds(in: .forward) == 1.5 && track.seconds(in: .backward) == 1)
    let silent = Track(capacity: 0)
    silent.record(.wait, from: 1, to: 3)
    #expect(silent.spans.isEmpty && silent.seconds(in: .wait) == 2)
  }

  @Test func aPhaseInsideAnotherIsTakenFromIt() {
    let track = Track(capacity: 8)
    let start = monotonicSeconds()
    track.measure(.backward) {
      track.measure(.reduce) { track.measure(.update) { usleep(20_000) } }
      track.measure(.gather, where: { $0 }) {
        usleep(1000)
        return false
      }
      usleep(2000)
    }
    let elapsed = monotonicSeconds() - start
    #expect(track.spans.map(\.phase) == [.update, .reduce, .backward])
    #expect(track.seconds(in: .update) >= 0.02 && track.seconds(in: .gather) == 0)
    let (reduce, backward) = (track.seconds(in: .reduce), track.seconds(in: .backward))
    #expect(reduce >= 0 && reduce < 0.01 && backward >= 0.003)
    #expect(track.seconds(in: .update) + reduce + backward <= elapsed)
  }

  private static func rank(_ laneSeconds: Double, images: Int) -> PhaseTotals {
    var totals = PhaseTotals()
    (totals.laneSeconds, totals.images) = (laneSeconds, images)
    return totals
  }

  @Test func theSlowRankIsNamedByItsOwnTime() {
    func straggler(_ times: [(Double, Int)]) -> Straggler? {
      Straggler.among(times.map { Self.rank($0, images: $1) })
    }
    #expect(straggler([(1, 100)]) == nil)
    #expect(straggler([(1, 100), (1.2, 100), (1.1, 100)]) == nil)
    // More images are no slowness.
    #expect(straggler([(1, 100), (2, 200), (1, 100)]) == nil)
    let slow = straggler([(1, 100), (1, 100), (1.5, 100), (1.1, 100)])
    #expect(slow?.rank == 2 && slow?.secondsAnImage == 0.015 && slow?.median == 0.01)
    #expect(straggler([(3, 100), (1, 100)])?.rank == 0)
    #expect(straggler([(0.9, 100), (0.3, 100)]) == nil, "a second is the least to judge by")
    #expect(straggler([(1, 100), (0, 0), (1, 100)]) == nil, "who has nothing to do isn't fast")
  }

  @Test func clocksThatDriftAreAligned() {
    func reading(_ time: Double, _ offset: Double) -> ClockAlignment.Reading {
      .init(time: time, offset: offset)
    }
    let clock = ClockAlignment(start: reading(100, 5), end: reading(200, 5.25))
    #expect(clock.aligned(100) == 105 && clock.aligned(200) == 205.25 && clock.aligned(140) == 145.1)
    let short = ClockAlignment(start: reading(100, 5), end: reading(100.5, 5.1))
    #expect(short.aligned(100) == 105.1)
  }

  @Test func theStepsOfABenchmarkFillTheirTimeline() throws {
    let example = try StepCase("lenet5", sizes: [4, 4, 3])
    let step = try example.step(lanes: 2)
    let start = monotonicSeconds()
    for number in 0..<3 { _ = try step.run(example.batch(step: number), learningRate: 0.1) }
    let elapsed = monotonicSeconds() - start
    let timeline = step.timeline
    let measured = [Phase.compute, .reduce, .update, .gather].map { timeline.rank.seconds(in: $0) }
    #expect(measured[0] > 0)
    #expect(measured.reduce(0, +) <= elapsed)
    for lane in timeline.lanes {
      let busy = lane.seconds(in: .forward) + lane.seconds(in: .backward)
      #expect(busy > 0 && busy <= measured[0])
      #expect(lane.seconds(in: .finish) > 0)
    }
    let totals = timeline.totals
    #expect(totals.seconds.reduce(0, +) <= elapsed && totals.seconds.allSatisfy { $0 >= 0 })
    #expect(totals.laneSeconds > 0 && totals.laneSeconds < 2 * elapsed)
  }
}
