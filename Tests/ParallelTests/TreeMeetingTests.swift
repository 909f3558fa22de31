import Collectives
import Tensors
import XCTest

/// Records that all lanes of all ranks bring together in the middle of a step.
final class TreeMeetingTests: XCTestCase {
  private let job = Job.communicator
  private static let count = 40

  /// Numbers whose sum depends on the order.
  private static func record(of leaf: Int, in meeting: Int) -> [Double] {
    let stream = RandomStream(seed: 8, purpose: .test(4), epoch: meeting, position: leaf)
    return (0..<count).map { place in
      let word = stream.word(at: place)
      let sign: Double = word & 1 == 0 ? 1 : -1
      let size = Double(sign: .plus, exponent: Int(word >> 1 & 31), significand: 1)
      return sign * (1 + Double(word >> 9) / 3) * size
    }
  }

  private static func add(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }

  private static func treeSum(_ node: Range<Int>, in tree: ReductionTree, meeting: Int) -> [Double] {
    guard let (left, right) = tree.children(of: node) else {
      return record(of: node.lowerBound, in: meeting)
    }
    return add(treeSum(left, in: tree, meeting: meeting), treeSum(right, in: tree, meeting: meeting))
  }

  /// What every lane of this rank holds after each of three meetings.
  private func meet(
    _ meeting: TreeMeeting, _ division: WorkDivision, lanes: Int,
    wait: @escaping @Sendable (() -> Bool) -> Void
  ) -> [[[Double]]] {
    let results = Monitor(Array(repeating: [[Double]](), count: 3))
    let runs = division.laneRuns[job.rank]
    meeting.begin(meeting.plan(for: division))
    let count = Self.count
    ThreadTeam(count: lanes).run { lane in
      guard TreeMeeting.attends(lane: lane, with: runs[lane].count) else { return }
      for number in 0..<3 {
        let records = runs[lane].map { leaf in
          let memory = UnsafeMutablePointer<Double>.allocate(capacity: count)
          memory.initialize(from: Self.record(of: leaf, in: number), count: count)
          return memory
        }
        // Late by turns, so that every lane is at times the last.
        if (lane + number) % 3 == 0 { usleep(2000) }
        do {
          try records.withUnsafeBufferPointer {
            try meeting.meet(lane: lane, records: $0, count: count, wait: wait) { source, target in
              for place in 0..<count { target[place] += source[place] }
            }
          }
        } catch { XCTFail("\(error)") }
        results.update { $0[number] += records.map { Array(UnsafeBufferPointer(start: $0, count: count)) } }
        for memory in records { memory.deallocate() }
      }
    }
    return results.update { $0 }
  }

  func testEveryLaneOfEveryRankGetsTheRootOfTheTree() throws {
    let meeting = TreeMeeting(job, recordCount: Self.count, microbatches: 19)
    var orderMatters = false
    for microbatches in [1, 2, 3, 5, 8, 13, 19] {
      for (lanes, reversed) in [([1], false), ([2, 1], false), ([1, 3, 2], true), ([4], false)] {
        let order = job.ranksInNodeOrder
        let byRank = (0..<job.size).map { lanes[$0 % lanes.count] }
        let division = WorkDivision(
          microbatches: microbatches, lanes: byRank, order: reversed ? order.reversed() : order)
        let results = meet(meeting, division, lanes: byRank[job.rank]) { condition in
          while !condition() { sched_yield() }
        }
        for (number, found) in results.enumerated() {
          let expected = Self.treeSum(division.tree.root, in: division.tree, meeting: number)
          XCTAssertEqual(found.count, division.rankRuns[job.rank].count)
          XCTAssert(found.allSatisfy { $0 == expected }, "\(division.laneRuns), meeting \(number)")
          let inTurn = (1..<microbatches).reduce(Self.record(of: 0, in: number)) {
            Self.add($0, Self.record(of: $1, in: number))
          }
          if inTurn != expected { orderMatters = true }
        }
      }
    }
    // The negative control: one microbatch after the other gives other bits, so the comparison can fail.
    XCTAssert(orderMatters)
  }

  /// Whoever waits is let go where there is no more hope; nothing hangs and nothing is claimed.
  func testNobodyWaitsForALaneThatDoesNotCome() throws {
    guard job.size == 1 else { return }
    let division = WorkDivision(microbatches: 2, lanes: [2], order: [0])
    let meeting = TreeMeeting(job, recordCount: Self.count, microbatches: 2)
    meeting.begin(meeting.plan(for: division))
    let failed = Monitor(false)
    let count = Self.count
    ThreadTeam(count: 2).run { lane in
      if lane == 0 { return failed.update { $0 = true } }
      let record = FloatBuffer(count: 2 * count)
      let doubles = UnsafeMutableRawPointer(record.pointer).bindMemory(to: Double.self, capacity: count)
      do {
        try [doubles].withUnsafeBufferPointer {
          try meeting.meet(
            lane: lane, records: $0, count: count,
            wait: { condition in while !condition(), !failed.update({ $0 }) { sched_yield() } },
            merge: { _, _ in XCTFail("nothing to merge") })
        }
      } catch { XCTFail("\(error)") }
    }
  }
}
