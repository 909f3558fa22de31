import COpenMPI

/// Messages on their way that are waited for together. Its memory grows in the first step only.
struct RequestList {
  private var requests: [cnn_mpi_request] = []

  var isEmpty: Bool { requests.isEmpty }

  /// Posts a message of `count` elements of a type, `size` bytes each, in as many pieces as MPI's counts ask for.
  mutating func post(
    _ memory: UnsafeMutableRawPointer, count: Int, size: Int, communicator: Communicator,
    _ call: StaticString,
    _ start: (UnsafeMutableRawPointer, Int32, UnsafeMutablePointer<cnn_mpi_request>) -> Int32
  ) throws {
    try communicator.inPieces(count) { offset, count in
      var request = cnn_mpi_request()
      try communicator.check(start(memory + offset * size, count, &request), call)
      requests.append(request)
    }
  }

  /// Posts one message.
  mutating func post(
    _ communicator: Communicator, _ call: StaticString,
    _ start: (UnsafeMutablePointer<cnn_mpi_request>) -> Int32
  ) throws {
    var request = cnn_mpi_request()
    try communicator.check(start(&request), call)
    requests.append(request)
  }

  /// Whether all are done; then the list is empty. Moves messages on.
  mutating func isDone(_ communicator: Communicator) throws -> Bool {
    guard !requests.isEmpty else { return true }
    var done: Int32 = 0
    try requests.withUnsafeMutableBufferPointer { requests in
      try communicator.check(
        cnn_mpi_test_all(Int32(requests.count), requests.baseAddress, &done), "MPI_Testall")
    }
    if done != 0 { requests.removeAll(keepingCapacity: true) }
    return done != 0
  }
}
