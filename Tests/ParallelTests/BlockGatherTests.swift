import Collectives
import Tensors
import XCTest

/// True at any number of ranks.
final class BlockGatherTests: XCTestCase {
  private let job = Job.communicator

  /// Blocks of unequal length, some of no float at all.
  private func block(_ number: Int) -> [Float] {
    (0..<(number * 5 % 17)).map { Float(number * 100 + $0) }
  }

  func testBlocksOfAllRanksArriveWholeAndInEachRanksOrder() throws {
    for (blocks, depth, limit) in [(0, 1, 9), (1, 2, 9), (50, 1, 3), (101, 3, 1 << 20)] {
      let gather = BlockGather(job.limited(to: limit), blocks: blocks, depth: depth) {
        [count = block(_:)] in count($0).count
      }
      var own = Array(stride(from: job.rank, to: blocks, by: job.size))[...]
      var arrived: [Int: [Float]] = [:]
      var refused = 0
      while !gather.isDone {
        try gather.advance { number, values in
          // Every third time there is no room.
          refused += 1
          guard refused % 3 != 0 else { return false }
          XCTAssertNil(arrived[number])
          XCTAssert(arrived.keys.filter { $0 % job.size == number % job.size }.allSatisfy { $0 < number })
          arrived[number] = values.values
          return true
        }
        if job.rank > 0, gather.hasRoom, let number = own.popFirst() {
          try gather.send(FloatBuffer(block(number)))
        }
      }
      guard job.rank == 0 else { continue }
      let others = (0..<blocks).filter { $0 % job.size != 0 }
      XCTAssertEqual(arrived, Dictionary(uniqueKeysWithValues: others.map { ($0, block($0)) }))
    }
  }
}
