import COpenMPI

/// An MPI call failed on this rank.
package struct CommunicationError: Error, Equatable, CustomStringConvertible {
  /// The MPI function, such as `MPI_Bcast`.
  package let call: String
  package let rank: Int
  /// The MPI library's own words.
  package let reason: String

  package init(call: String, rank: Int, reason: String) {
    (self.call, self.rank, self.reason) = (call, rank, reason)
  }

  package var description: String { "\(call) failed on rank \(rank): \(reason)" }

  /// The one place where a code of MPI becomes an error.
  static func check(_ code: Int32, _ call: StaticString, rank: Int) throws(CommunicationError) {
    guard code != MPI_SUCCESS else { return }
    let reason = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MPI_MAX_ERROR_STRING) + 1) {
      text in
      guard let start = text.baseAddress else { return "code \(code)" }
      cnn_mpi_error_text(code, start)
      return String(cString: start)
    }
    throw CommunicationError(call: "\(call)", rank: rank, reason: reason)
  }
}
