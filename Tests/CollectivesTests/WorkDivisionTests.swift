import Collectives
import Testing

@Suite struct WorkDivisionTests {
  private func oneLaneEach(_ microbatches: Int, ranks: Int) -> WorkDivision {
    WorkDivision(
      microbatches: microbatches, lanes: Array(repeating: 1, count: ranks), order: Array(0..<ranks))
  }

  @Test func everyMicrobatchIsOwnedOnceInOrder() {
    for microbatches in [1, 2, 3, 5, 8, 13, 21, 64, 100, 333] {
      for lanes in [
        [1], [2], [1, 1], [3, 1], [1, 2, 4], [2, 2, 2], [5, 1, 1, 8], Array(repeating: 2, count: 20),
      ] {
        let order = Array(lanes.indices.reversed())
        let division = WorkDivision(microbatches: microbatches, lanes: lanes, order: order)
        #expect(order.flatMap { division.rankRuns[$0] } == Array(0..<microbatches))
        #expect(order.flatMap { division.laneRuns[$0].joined() } == Array(0..<microbatches))
        #expect(division.laneRuns.map(\.count) == lanes)
        for (run, parts) in zip(division.rankRuns, division.laneRuns) {
          #expect(run.elementsEqual(parts.joined()))
        }
      }
    }
  }

  @Test func noLaneGetsMoreThanFivePercentAboveTheEqualShare() {
    for workers in 1...24 {
      for microbatches in Array(1...70) + [256, 500, 1000, 4096] {
        let runs = oneLaneEach(microbatches, ranks: workers).rankRuns
        let equal = (microbatches + workers - 1) / workers
        #expect(runs.allSatisfy { $0.count <= equal + equal / 20 })
        #expect(runs.allSatisfy { $0.count >= microbatches / workers - equal / 20 })
        if microbatches >= workers { #expect(!runs.contains { $0.isEmpty }) }
      }
    }
  }

  @Test func bordersMoveToSubtreesOnlyWhereThatIsCheap() {
    // 8 over 3: the greatest run stays 3, never 4 | 2 | 2.
    #expect(oneLaneEach(8, ranks: 3).rankRuns.map(\.count).sorted() == [2, 3, 3])
    #expect(oneLaneEach(9, ranks: 2).rankRuns == [0..<4, 4..<9])
    #expect(oneLaneEach(8, ranks: 2).rankNodes == [[0..<4], [4..<8]])
    // 5 % of 63 are 3: the border moves from 62.5 to the subtree border 64, 2 partial sums instead of 7.
    let cheap = oneLaneEach(125, ranks: 2)
    #expect(cheap.rankRuns == [0..<64, 64..<125])
    #expect(cheap.rankNodes == [[0..<64], [64..<125]])
  }

  @Test func theDivisionHasTheFewestPartialsOfAllAsEqualOnes() {
    for microbatches in 3...19 {
      let tree = ReductionTree(leaves: microbatches)
      let (low, high) = (microbatches / 3, (microbatches + 2) / 3)
      var fewest = Int.max
      for first in low...high {
        for second in low...high where (low...high).contains(microbatches - first - second) {
          let runs = [0..<first, first..<(first + second), (first + second)..<microbatches]
          fewest = min(fewest, runs.reduce(0) { $0 + tree.maximalNodes(in: $1).count })
        }
      }
      #expect(
        oneLaneEach(microbatches, ranks: 3).rankNodes.joined().count == fewest, "\(microbatches) over 3")
    }
  }

  @Test func ranksShareEquallyBeforeLanesDo() {
    let division = WorkDivision(microbatches: 2, lanes: [2, 2], order: [0, 1])
    #expect(division.rankRuns == [0..<1, 1..<2])
    #expect(division.idleLanes == 2 && division.idleRanks == 0)
    let unequal = WorkDivision(microbatches: 8, lanes: [3, 1], order: [0, 1])
    #expect(unequal.rankRuns == [0..<6, 6..<8])
  }

  @Test func tooFewMicrobatchesLeaveLanesIdle() {
    let division = oneLaneEach(2, ranks: 5)
    #expect(division.idleLanes == 3 && division.idleRanks == 3)
    #expect(division.rankRuns.allSatisfy { $0.count <= 1 })
    #expect(WorkDivision.microbatchThatWouldUseAll(lanes: 8, batch: 128) == 16)
    #expect(WorkDivision.microbatchThatWouldUseAll(lanes: 5, batch: 32) == 6)
    #expect(WorkDivision.microbatchThatWouldUseAll(lanes: 33, batch: 32) == nil)
  }
}
