import COpenMPI
import Tensors

/// Blocks of floats that the ranks make by turns (block b is rank b mod size's), brought to rank 0 by messages that
/// are on their way while everybody computes.
///
/// Each rank sends its blocks in order, so rank 0 knows which it is that arrives. It posts a few receives ahead for
/// every rank, and no more before what has arrived is accepted: that bounds the memory on both sides.
///
/// Ownership rule: used by lane 0, the main thread, alone, since only that one may call MPI.
package final class BlockGather: @unchecked Sendable {
  private struct Message {
    let block: Int
    let values: FloatBuffer
    var requests = RequestList()
  }

  private static let tag: Int32 = 7

  private let communicator: Communicator
  private let blocks: Int
  private let depth: Int
  private let floats: (Int) -> Int
  /// By the rank at the other end, the oldest first.
  private var messages: [[Message]]
  /// By rank: its next block that no message is about.
  private var next: [Int]

  /// - Parameters:
  ///   - blocks: of all ranks.
  ///   - depth: the most messages on their way between rank 0 and another rank.
  ///   - floats: how many a block has, the same on every rank.
  package init(_ communicator: Communicator, blocks: Int, depth: Int, floats: @escaping (Int) -> Int) {
    precondition(depth > 0, "messages expect room for at least one on its way, got \(depth)")
    self.communicator = communicator
    self.blocks = blocks
    self.depth = depth
    self.floats = floats
    messages = Array(repeating: [], count: communicator.size)
    next = Array(0..<communicator.size)
  }

  /// Moves messages on. Rank 0 hands on what has arrived, each rank's blocks in order; a block that `accept` refuses
  /// comes again in the next call.
  package func advance(_ accept: (_ block: Int, _ values: FloatBuffer) -> Bool = { _, _ in true }) throws {
    guard communicator.size > 1 else { return }
    guard communicator.rank == 0 else {
      while !messages[0].isEmpty, try messages[0][0].requests.isDone(communicator) {
        messages[0].removeFirst()
      }
      return
    }
    for rank in 1..<communicator.size {
      try postReceives(from: rank)
      while !messages[rank].isEmpty, try messages[rank][0].requests.isDone(communicator),
        accept(messages[rank][0].block, messages[rank][0].values)
      {
        messages[rank].removeFirst()
        try postReceives(from: rank)
      }
    }
  }

  private func postReceives(from rank: Int) throws {
    while messages[rank].count < depth, next[rank] < blocks {
      let block = next[rank]
      next[rank] += communicator.size
      var message = Message(block: block, values: FloatBuffer(count: floats(block)))
      try message.requests.post(
        message.values.pointer, count: message.values.count, size: MemoryLayout<Float>.stride,
        communicator: communicator, "MPI_Irecv"
      ) {
        cnn_mpi_start_receive(
          $0, $1, cnn_mpi_float(), Int32(rank), Self.tag, communicator.world, $2)
      }
      messages[rank].append(message)
    }
  }

  /// Whether another block may be sent; not for rank 0.
  package var hasRoom: Bool { messages[0].count < depth }

  /// Sends this rank's next block to rank 0; `values` stay as they are until the message is through.
  package func send(_ values: FloatBuffer) throws {
    let rank = communicator.rank
    precondition(rank > 0 && hasRoom && next[rank] < blocks, "rank \(rank) has no block to send")
    precondition(
      values.count == floats(next[rank]),
      "block \(next[rank]) expects \(floats(next[rank])) floats, got \(values.count)")
    var message = Message(block: next[rank], values: values)
    next[rank] += communicator.size
    try message.requests.post(
      values.pointer, count: values.count, size: MemoryLayout<Float>.stride, communicator: communicator,
      "MPI_Isend"
    ) { cnn_mpi_start_send($0, $1, cnn_mpi_float(), 0, Self.tag, communicator.world, $2) }
    messages[0].append(message)
  }

  /// Whether all that this rank sends or receives is through, and accepted.
  package var isDone: Bool {
    let ranks = communicator.rank == 0 ? 1..<communicator.size : communicator.rank..<(communicator.rank + 1)
    return ranks.allSatisfy { next[$0] >= blocks } && messages.allSatisfy(\.isEmpty)
  }
}
