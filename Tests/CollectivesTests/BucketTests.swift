import Collectives
import Tensors
import Testing

@Suite struct BucketTests {
  private let chunk = FlatLayout.chunk

  @Test(arguments: [1, 2, 3, 5, 12], [1, 3, 1024, 5000, 1 << 20])
  func bucketsCoverTheBufferFromTheTail(ranks: Int, floats: Int) {
    for (chunks, tail) in [(1, 0), (1, 1), (9, 7), (40, 39), (40, 3)] {
      let buckets = Buckets(extent: chunks * chunk, tail: tail * chunk, floats: floats, ranks: ranks)
      #expect(buckets.ranges.reversed().flatMap(Array.init) == Array(0..<(chunks * chunk)))
      #expect(buckets.ranges.allSatisfy { $0.count <= (floats + chunk - 1) / chunk * chunk })
      #expect(buckets.ranges.prefix(buckets.tailCount).allSatisfy { $0.lowerBound >= tail * chunk })
      #expect(buckets.ranges.dropFirst(buckets.tailCount).allSatisfy { $0.upperBound <= tail * chunk })
      for (bucket, range) in buckets.ranges.enumerated() {
        let pieces = (0..<ranks).map { buckets.piece(bucket, of: $0) }
        #expect(pieces.flatMap(Array.init) == Array(range))
        #expect(pieces.allSatisfy { $0.lowerBound % chunk == 0 })
        let counts = pieces.map { $0.count / chunk }
        #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
      }
    }
  }

  @Test func bucketsAreFinalWhenEverythingBehindTheirBeginIs() {
    let buckets = Buckets(extent: 10 * chunk, tail: 8 * chunk, floats: 3 * chunk, ranks: 2)
    let inChunks = buckets.ranges.map { [$0.lowerBound / chunk, $0.upperBound / chunk] }
    #expect(inChunks == [[8, 10], [5, 8], [2, 5], [0, 2]])
    #expect(buckets.tailCount == 1)
    #expect(buckets.final(from: 8 * chunk) == 1)
    #expect(buckets.final(from: 5 * chunk + 1) == 1)
    #expect(buckets.final(from: 5 * chunk) == 2)
    #expect(buckets.final(from: 0) == 4)
    #expect(buckets.buckets(of: (5 * chunk - 1)..<(5 * chunk)) == 2..<3)
    #expect(buckets.buckets(of: 10..<(5 * chunk + 1)) == 1..<4)
    #expect(buckets.buckets(of: 7..<7).isEmpty)
  }

  /// MPI's tags end at 32,767, and every bucket has two.
  @Test func thereAreNeverMoreBucketsThanTags() {
    let buckets = Buckets(extent: 50_000 * chunk, tail: 49_999 * chunk, floats: chunk, ranks: 2)
    #expect(buckets.count <= 4096 && buckets.count > 3000)
  }
}
