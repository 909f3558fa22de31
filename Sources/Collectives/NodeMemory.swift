import Glibc
import Tensors

/// What the ranks of a group hold in common: every rank's partial sums, which the others read, the values,
/// of which a group has one copy, and the counters by which they tell each other how far they are.
///
/// A group of one rank keeps all that in memory of its own. The counters order every access: a range of a
/// partial sum is written by its rank until that rank has counted its bucket final, from then on by the
/// rank that adds up this piece, until that one has counted the bucket settled. A range of the values is
/// written between those two moments, by its owner or by the deputy who got it from another group.
final class NodeMemory {
  let groups: RankGroups
  /// By member of this rank's group: how many turns of each bucket are final in that rank.
  let finals: [Counters]
  /// By member: how many turns of each bucket have the new values that this member provides.
  let settled: [Counters]
  /// By member: the buffers for partial sums of its lanes.
  let partials: [[FloatBuffer]]
  let values: FloatBuffer
  /// Why ranks of a node don't share memory, where they should.
  let notice: String?
  /// Counters don't keep memory alive.
  private let blocks: [Block]

  /// Collective. `partialCount` is of this rank; `shares` whether ranks of a node may share memory. The values may
  /// have more floats than the `extent` of a sum.
  init(
    _ communicator: Communicator, extent: Int, valuesExtent: Int, buckets: Int, partialCount: Int,
    shares: Bool
  ) throws {
    let wanted = shares ? RankGroups.byNode(communicator.places) : .alone(communicator.size)
    let counts = try communicator.allGather(integers: [partialCount]).map { $0[0] }
    let layout = Layout(extent: extent, valuesExtent: valuesExtent, buckets: buckets)
    let rank = communicator.rank
    var blocks: [Block]?
    if wanted.members.contains(where: { $0.count > 1 }) {
      blocks = try Self.shared(communicator, wanted, counts.map { layout.bytes(partials: $0) })
      notice =
        blocks == nil
        ? "the ranks of a node can't share memory (the system refuses): they exchange by messages" : nil
    } else {
      notice = nil
    }
    groups = blocks == nil ? .alone(communicator.size) : wanted
    let own = blocks ?? [Block(bytes: layout.bytes(partials: counts[rank]))]
    self.blocks = own
    let members = groups.members[groups.group(of: rank)]
    let place = groups.place(of: rank)
    finals = own.enumerated().map { member, block in
      member == place
        ? Counters(initialising: block.start + layout.finals, count: buckets)
        : Counters(at: block.start + layout.finals, count: buckets)
    }
    settled = own.enumerated().map { member, block in
      member == place
        ? Counters(initialising: block.start + layout.settled, count: buckets)
        : Counters(at: block.start + layout.settled, count: buckets)
    }
    partials = zip(own, members).map { block, member in
      (0..<counts[member]).map { block.floats(at: layout.partial($0), count: extent) }
    }
    // The values lie behind the first member's partial sums; every block has the room, but untouched
    // pages of shared memory take none.
    values = own[0].floats(at: layout.partial(counts[members[0]]), count: valuesExtent)
    try communicator.barrier()
  }

  /// Where things lie in a rank's block.
  private struct Layout {
    let extent: Int
    let valuesExtent: Int
    let buckets: Int

    var finals: Int { 64 }
    var settled: Int { finals + rounded(buckets * 8, to: 64) }
    func partial(_ number: Int) -> Int {
      rounded(settled + buckets * 8, to: 4096) + number * extent * MemoryLayout<Float>.stride
    }
    func bytes(partials: Int) -> Int { partial(partials) + valuesExtent * MemoryLayout<Float>.stride }
    private func rounded(_ count: Int, to unit: Int) -> Int { (count + unit - 1) / unit * unit }
  }

  /// Memory of this process alone, or of the group.
  private struct Block {
    let start: UnsafeMutableRawPointer
    let owner: AnyObject

    init(bytes: Int) {
      let memory = FloatBuffer(count: bytes / MemoryLayout<Float>.stride)
      (start, owner) = (UnsafeMutableRawPointer(memory.pointer), memory)
    }

    init(_ memory: SharedMemory) { (start, owner) = (memory.start, memory) }

    func floats(at offset: Int, count: Int) -> FloatBuffer {
      FloatBuffer(
        count: count, at: (start + offset).bindMemory(to: Float.self, capacity: count), of: owner)
    }
  }

  /// A block of each member of this rank's group, or nil on all ranks where one of them can't map them.
  private static func shared(
    _ communicator: Communicator, _ groups: RankGroups, _ bytes: [Int]
  ) throws -> [Block]? {
    let rank = communicator.rank
    let mine = SharedMemory(creating: bytes[rank])
    // Not every process that answers to a number is the right one, where ranks live in containers: the
    // block proves itself by a number that only its maker and the message know.
    let proof = Int.random(in: 1...(.max))
    mine?.start.storeBytes(of: proof, as: Int.self)
    let all = try communicator.allGather(integers: [Int(getpid()), mine?.descriptor ?? -1, proof])
    let blocks = groups.members[groups.group(of: rank)].map { member -> SharedMemory? in
      guard member != rank else { return mine }
      let (process, file) = (all[member][0], all[member][1])
      guard file >= 0, let block = SharedMemory(process: process, file: file, bytes: bytes[member]),
        block.start.load(as: Int.self) == all[member][2]
      else { return nil }
      return block
    }
    let works = try communicator.minimum(blocks.contains { $0 == nil } ? 0 : 1) == 1
    mine?.close()
    return works ? blocks.compactMap { $0.map { Block($0) } } : nil
  }
}

extension Communicator {
  /// The integers of all ranks, by rank, on every rank.
  func allGather(integers: [Int]) throws -> [[Int]] {
    try allGather(integers.withUnsafeBytes { Array($0) }).map { bytes in
      bytes.withUnsafeBytes { bytes in
        stride(from: 0, to: bytes.count, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: Int.self) }
      }
    }
  }
}
