import COpenMPI

extension Communicator {
  /// Joins 64-bit words of which each is zero on all ranks but its owner: every rank gets all of them, in
  /// place. Adding integers to zeros is exact whatever the order, so any word keeps its bits, a double's
  /// too, and nobody needs to know who owns what.
  package func joinOwnersWords(_ words: UnsafeMutableRawBufferPointer) throws {
    guard usesMPI else { return }
    precondition(words.count % 8 == 0, "words of 8 bytes expect a multiple of 8, got \(words.count) bytes")
    try inPieces(words.count / 8) { offset, count in
      let start = words.baseAddress.map { $0 + 8 * offset }
      try check(cnn_mpi_all_reduce(start, count, cnn_mpi_int64(), cnn_mpi_sum(), world), "MPI_Allreduce")
    }
  }

  /// The largest of all ranks, number by number.
  package func maxima(_ values: [Int]) throws -> [Int] {
    guard usesMPI else { return values }
    var values = values
    try check(
      cnn_mpi_all_reduce(&values, Int32(values.count), cnn_mpi_int64(), cnn_mpi_max(), world), "MPI_Allreduce"
    )
    return values
  }
}
