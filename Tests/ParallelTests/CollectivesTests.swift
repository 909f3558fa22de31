import Collectives
import Tensors
import XCTest

/// True at any number of ranks, and in the same order on all of them.
final class CollectivesTests: XCTestCase {
  private let job = Job.communicator

  /// Bytes that tell whose they are and where they stand.
  private func payload(_ count: Int, of rank: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 251 &+ 97 &* rank) }
  }

  func testPlacesNumberTheRanksOfEachNode() throws {
    XCTAssertEqual(job.places.count, job.size)
    XCTAssertEqual(job.ranksInNodeOrder.sorted(), Array(0..<job.size))
    for node in 0..<job.nodeCount {
      let places = job.places.filter { $0.node == node }
      XCTAssertEqual(places.map(\.localRank).sorted(), Array(0..<places.count))
      XCTAssert(places.allSatisfy { $0.localSize == places.count })
    }
    // Every rank has another number: these are really so many processes, not so many times one.
    XCTAssertEqual(try job.allGather([UInt8(job.rank)]), (0..<job.size).map { [UInt8($0)] })
  }

  func testBroadcastOfAnyLengthFromAnyRank() throws {
    for (count, limit) in [(0, 7), (1, 7), (7, 7), (50, 7), (400_000, 1 << 17), (400_000, 1 << 30)] {
      let limited = job.limited(to: limit)
      for root in 0..<job.size {
        let mine = job.rank == root ? payload(count, of: root) : []
        XCTAssertEqual(
          try limited.broadcast(mine, from: root), payload(count, of: root), "\(count) bytes from \(root)")
      }
    }
  }

  func testGatherOfUnequalAndEmptyPayloads() throws {
    for (count, limit) in [(0, 5), (1, 5), (17, 5), (150_000, 1 << 16)] {
      let limited = job.limited(to: limit)
      // Rank 0 brings nothing.
      let expected = (0..<job.size).map { payload(count * $0, of: $0) }
      let mine = expected[job.rank]
      let root = job.size - 1
      XCTAssertEqual(try limited.gather(mine, to: root), job.rank == root ? expected : nil)
      XCTAssertEqual(try limited.allGather(mine), expected)
    }
  }

  func testSendAndReceiveAroundTheRing() throws {
    guard job.size > 1 else { return }
    let limited = job.limited(to: 1000)
    let (right, left) = ((job.rank + 1) % job.size, (job.rank + job.size - 1) % job.size)
    for count in [0, 999, 1000, 2500] {
      // Rank 0 sends first, so that nobody waits for a message that nobody sends.
      if job.rank == 0 { try limited.send(payload(count, of: 0), to: right) }
      XCTAssertEqual(try limited.receive(from: left), payload(count, of: left))
      if job.rank != 0 { try limited.send(payload(count, of: job.rank), to: right) }
    }
  }

  func testIntegerReductions() throws {
    let large = 1 << 40
    XCTAssertEqual(try job.maximum(large * job.rank), large * (job.size - 1))
    XCTAssertEqual(try job.minimum(5 - large * job.rank), 5 - large * (job.size - 1))
    XCTAssertEqual(try job.sum(large + job.rank), large * job.size + job.size * (job.size - 1) / 2)
    let values = (0..<10).map { $0 * (job.rank + 1) }
    XCTAssertEqual(try job.limited(to: 3).sum(values), (0..<10).map { $0 * job.size * (job.size + 1) / 2 })
    try job.barrier()
  }

  func testRanksThatDifferAreNamed() throws {
    try job.requireEqual([("isa", "avx512"), ("version", "1")])
    guard job.size > 1 else { return }
    let last = job.size - 1
    let mine = [("version", "1"), ("isa", job.rank == last ? "avx2" : "avx512")]
    XCTAssertThrowsError(try job.requireEqual(mine)) { error in
      let others = last == 1 ? "rank 0 has" : "ranks 0–\(last - 1) have"
      XCTAssertEqual("\(error)", "\(others) isa avx512, rank \(last) has avx2")
    }
  }

  func testFailedCallsNameCallAndRank() throws {
    guard job.size > 1 else { return }
    // There is no such rank: MPI refuses before anything is sent.
    XCTAssertThrowsError(try job.send([1], to: job.size)) { error in
      let error = error as? CommunicationError
      XCTAssertEqual(error?.call, "MPI_Send")
      XCTAssertEqual(error?.rank, job.rank)
      XCTAssert(
        error?.reason.uppercased().contains("RANK") ?? false, "\(error?.reason ?? "no CommunicationError")")
    }
  }

  func testRanksOfANodeShareItsCores() throws {
    let placement = try Placement.establish(job)
    XCTAssertEqual(placement.rows.map(\.rank), Array(0..<job.size))
    XCTAssertEqual(placement.own, placement.rows[job.rank])
    let rows = placement.rows.filter { $0.node == job.place.node }
    let cores = rows.flatMap(\.cores)
    // No core has two owners while another has none.
    XCTAssert(Set(cores).count == cores.count || rows.allSatisfy { $0.cores.count == 1 }, "\(rows)")
    XCTAssert(placement.lanes.allSatisfy { $0 > 0 })
    // Every rank tells the same.
    try job.requireEqual([("placement", "\(placement.rows)"), ("warnings", "\(placement.warnings)")])
    XCTAssertEqual(try Placement.establish(job, lanes: job.rank + 1).lanes, (1...job.size).map { $0 })
  }
}
