import COpenMPI

/// A message of many pieces, sent from where they lie and received into them: a derived type of MPI's.
final class IndexedMessage {
  let bytes: Int
  private let communicator: Communicator
  private var type = cnn_mpi_byte()
  private var isMade = false

  /// Each part: a pointer, and a range of elements behind it. Empty ones are left out; a message without
  /// any is none.
  init(_ parts: [(UnsafeMutablePointer<Float>, Range<Int>)], _ communicator: Communicator)
    throws
  {
    let full = parts.filter { !$0.1.isEmpty }
    bytes = full.reduce(0) { $0 + $1.1.count } * MemoryLayout<Float>.stride
    self.communicator = communicator
    guard bytes > 0 else { return }
    let starts = full.map { UnsafeRawPointer($0.0 + $0.1.lowerBound) as UnsafeRawPointer? }
    let counts = full.map { Int32($0.1.count) }
    var type = type
    try communicator.check(
      cnn_mpi_pieces(Int32(full.count), counts, starts, &type), "MPI_Type_create_hindexed")
    self.type = type
    isMade = true
  }

  deinit { if isMade { cnn_mpi_pieces_free(&type) } }

  func send(to rank: Int, tag: Int, _ requests: inout RequestList) throws {
    guard bytes > 0 else { return }
    try requests.post(communicator, "MPI_Isend") {
      cnn_mpi_start_send_pieces(type, Int32(rank), Int32(tag), communicator.world, $0)
    }
  }

  func receive(from rank: Int, tag: Int, _ requests: inout RequestList) throws {
    guard bytes > 0 else { return }
    try requests.post(communicator, "MPI_Irecv") {
      cnn_mpi_start_receive_pieces(type, Int32(rank), Int32(tag), communicator.world, $0)
    }
  }
}
