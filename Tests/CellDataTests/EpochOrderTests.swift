import CellData
import Testing

struct EpochOrderTests {
  @Test(arguments: [(1, 1, 1), (10, 4, 3), (100, 64, 16), (130, 64, 24), (1680, 64, 16), (17, 128, 16)])
  func microbatchesHoldEveryPositionOnceAndAreNearlyEqual(count: Int, batch: Int, microbatch: Int) {
    let order = EpochOrder(count: count, batch: batch, microbatch: microbatch)
    var next = 0
    for step in 0..<order.stepsPerEpoch {
      let parts = order.microbatches(ofStep: step)
      let sizes = parts.map(\.count)
      #expect(sizes.allSatisfy { $0 > 0 && $0 <= microbatch })
      #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
      #expect(sizes == sizes.sorted(by: >))
      #expect(order.microbatchCounts.contains(parts.count))
      for part in parts {
        #expect(part.lowerBound == next)
        next = part.upperBound
      }
    }
    #expect(next == count)
  }

  @Test func dropLastLeavesOutTheShortBatchOnly() {
    #expect(EpochOrder(count: 130, batch: 64, microbatch: 16, dropLast: true).stepsPerEpoch == 2)
    #expect(EpochOrder(count: 128, batch: 64, microbatch: 16, dropLast: true).stepsPerEpoch == 2)
    #expect(EpochOrder(count: 10, batch: 64, microbatch: 16, dropLast: true).stepsPerEpoch == 1)
  }

  @Test func shufflesDifferByEpochAndSeedAndHoldEveryImage() {
    let order = EpochOrder(count: 50, batch: 8, microbatch: 4)
    let first = order.shuffled(seed: 1, epoch: 0)
    #expect(first == order.shuffled(seed: 1, epoch: 0))
    #expect(first.sorted() == Array(0..<50))
    #expect(first != order.shuffled(seed: 1, epoch: 1))
    #expect(first != order.shuffled(seed: 2, epoch: 0))
  }
}
