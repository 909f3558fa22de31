import Tensors

/// How the flat buffer is cut into parts that are summed, updated and handed round one by one.
///
/// Backward finishes parameters back to front, so bucket 0 is the tail of the buffer and the last bucket
/// its front. Each rank owns a piece of every bucket: it adds up that piece, keeps the optimizer's state
/// for it and updates it. Borders of buckets and pieces are chunk borders. Neither changes a bit: each
/// element of the buffer has the same tree of its own.
package struct Buckets: Hashable, Sendable {
  package let extent: Int
  package let ranks: Int
  /// In the order in which they become final, tail first.
  package let ranges: [Range<Int>]
  /// How many of them lie in the tail that is final before backward begins.
  package let tailCount: Int

  /// MPI promises tags up to 32,767, and a message has its bucket's tag.
  private static let most = 4096
  /// Floats within a bucket can be counted by a C int.
  private static let largest = 1 << 28

  /// Cuts `extent` floats, a multiple of `FlatLayout.chunk`, into buckets of `floats` (rounded up to
  /// chunks); no bucket crosses `tail`, where running statistics and metrics begin.
  package init(extent: Int, tail: Int, floats: Int, ranks: Int) {
    let chunk = FlatLayout.chunk
    precondition(
      extent > 0 && extent % chunk == 0, "an extent expects whole chunks of \(chunk), got \(extent)")
    precondition(
      tail >= 0 && tail <= extent && tail % chunk == 0,
      "a tail expects a chunk border in 0 ... \(extent), got \(tail)")
    precondition(floats > 0 && ranks > 0, "buckets expect a size and ranks, got \(floats) floats, \(ranks)")
    let size = max(min(floats, Self.largest), (extent + Self.most - 3) / (Self.most - 2))
    let step = (size + chunk - 1) / chunk * chunk
    func cut(_ range: Range<Int>) -> [Range<Int>] {
      stride(from: range.upperBound, to: range.lowerBound, by: -step).map {
        max(range.lowerBound, $0 - step)..<$0
      }
    }
    let tails = cut(tail..<extent)
    self.extent = extent
    self.ranks = ranks
    ranges = tails + cut(0..<tail)
    tailCount = tails.count
  }

  package var count: Int { ranges.count }

  /// What rank `rank` owns of a bucket; empty where the bucket has fewer chunks than there are ranks.
  package func piece(_ bucket: Int, of rank: Int) -> Range<Int> {
    let range = ranges[bucket]
    let chunks = range.count / FlatLayout.chunk
    let first = range.lowerBound + chunks * rank / ranks * FlatLayout.chunk
    let last = range.lowerBound + chunks * (rank + 1) / ranks * FlatLayout.chunk
    return first..<last
  }

  /// Everything that a rank owns, one piece of each bucket.
  package func pieces(of rank: Int) -> [Range<Int>] { (0..<count).map { piece($0, of: rank) } }

  /// The bucket that holds a float.
  package func bucket(of place: Int) -> Int {
    guard let bucket = ranges.firstIndex(where: { $0.contains(place) }) else {
      preconditionFailure("buckets of 0 ..< \(extent) don't hold \(place)")
    }
    return bucket
  }

  /// The buckets that hold a part of a range; none for an empty one.
  package func buckets(of range: Range<Int>) -> Range<Int> {
    range.isEmpty ? 0..<0 : bucket(of: range.upperBound - 1)..<(bucket(of: range.lowerBound) + 1)
  }

  /// How many buckets are final when everything from `place` to the end is.
  package func final(from place: Int) -> Int { ranges.prefix { $0.lowerBound >= place }.count }
}

extension Buckets {
  /// The size that is used where nobody sets one: a sixteenth of the buffer, so that little is left to send
  /// when backward ends, but pieces stay worth a message and a bucket stays in a core's cache. Each rank has a
  /// chunk at least: where only some of many ranks own a bucket, their links take what all others send.
  package static func automaticBytes(extent: Int, ranks: Int) -> Int {
    let share = extent * MemoryLayout<Float>.stride / 16
    let chunk = FlatLayout.chunk * MemoryLayout<Float>.stride
    return min(max(share, 64 << 10, ranks * chunk), max(1 << 20, ranks * (256 << 10)))
  }
}
