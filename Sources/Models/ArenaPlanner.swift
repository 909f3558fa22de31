/// Lays blocks of memory with known lifetimes into one arena, so that blocks which never live at the
/// same time may share room.
///
/// Greedy by size: the largest block first, each at the lowest offset where nothing that lives at the
/// same time stands (Pisarchyk & Lee, "Efficient memory management for deep neural net inference",
/// arXiv:2001.03288).
package struct ArenaPlanner {
  private struct Block {
    var count: Int
    var lifetime: ClosedRange<Int>
    var offset = 0
  }

  private var blocks: [Block] = []

  package init() {}

  /// Asks for `count` floats during `lifetime`, and gives the block's number.
  package mutating func add(count: Int, lifetime: ClosedRange<Int>) -> Int {
    blocks.append(Block(count: (count + 15) / 16 * 16, lifetime: lifetime))
    return blocks.count - 1
  }

  /// The offset of every block, by number, and the floats that the arena needs.
  package func solve() -> (offsets: [Int], count: Int) {
    var placed: [Block] = []
    var offsets = Array(repeating: 0, count: blocks.count)
    var total = 0
    let order = blocks.indices.sorted { (blocks[$1].count, $0) < (blocks[$0].count, $1) }
    for index in order {
      var block = blocks[index]
      for other in placed where other.lifetime.overlaps(block.lifetime) {
        if other.offset >= block.offset + block.count { break }
        block.offset = max(block.offset, other.offset + other.count)
      }
      offsets[index] = block.offset
      total = max(total, block.offset + block.count)
      let position = placed.firstIndex { $0.offset > block.offset } ?? placed.count
      placed.insert(block, at: position)
    }
    return (offsets, total)
  }
}
