import Models
import Tensors
import Testing

struct ArenaPlannerTests {
  /// Random blocks: no two that live at the same time may touch, and room is reused.
  @Test(arguments: 0..<20)
  func blocksOfOneTimeNeverOverlap(round: Int) {
    let random = RandomStream(seed: 1, purpose: .test(1), position: round)
    var planner = ArenaPlanner()
    var blocks: [(count: Int, lifetime: ClosedRange<Int>)] = []
    for index in 0..<60 {
      let start = random.integer(at: 3 * index, below: 50)
      let block = (
        count: 1 + random.integer(at: 3 * index + 1, below: 1000),
        lifetime: start...(start + random.integer(at: 3 * index + 2, below: 12))
      )
      blocks.append(block)
      #expect(planner.add(count: block.count, lifetime: block.lifetime) == index)
    }
    let (offsets, count) = planner.solve()
    for (i, a) in blocks.enumerated() {
      #expect(offsets[i] % 16 == 0)
      #expect(offsets[i] + a.count <= count)
      for (j, b) in blocks.enumerated().dropFirst(i + 1) where a.lifetime.overlaps(b.lifetime) {
        #expect(offsets[i] + a.count <= offsets[j] || offsets[j] + b.count <= offsets[i])
      }
    }
    let busiest =
      (0..<64).map { time in blocks.filter { $0.lifetime.contains(time) }.reduce(0) { $0 + $1.count } }.max()
      ?? 0
    #expect(count >= busiest)
    #expect(Double(count) < 1.35 * Double(busiest) + 16 * 60)
  }
}
