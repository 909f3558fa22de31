import COpenMPI

/// Bytes of any length, and integers, between ranks. Lengths over the count limit go in pieces.
extension Communicator {
  private static let tag: Int32 = 1

  /// The root's bytes, on every rank; what the others pass is ignored.
  package func broadcast(_ bytes: [UInt8], from root: Int = 0) throws -> [UInt8] {
    guard usesMPI else { return bytes }
    var count = bytes.count
    try check(cnn_mpi_broadcast(&count, 1, cnn_mpi_int64(), Int32(root), world), "MPI_Bcast")
    var payload = rank == root ? bytes : Array(repeating: 0, count: count)
    try payload.withUnsafeMutableBytes { try broadcast($0, from: root) }
    return payload
  }

  /// Overwrites the bytes of every rank but the root, in place; the same length everywhere.
  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int = 0) throws {
    guard usesMPI else { return }
    try inPieces(bytes.count) { offset, count in
      let start = bytes.baseAddress.map { $0 + offset }
      try check(cnn_mpi_broadcast(start, count, cnn_mpi_byte(), Int32(root), world), "MPI_Bcast")
    }
  }

  /// The bytes of all ranks, by rank, on the root; nil on the others.
  package func gather(_ bytes: [UInt8], to root: Int = 0) throws -> [[UInt8]]? {
    guard usesMPI else { return [bytes] }
    let counts = try gatherCounts(bytes.count)
    guard rank == root else {
      try bytes.withUnsafeBytes { try send($0, to: root) }
      return nil
    }
    return try counts.enumerated().map { source, count in
      guard source != root else { return bytes }
      return try Array(unsafeUninitializedCapacity: count) { buffer, filled in
        try receive(
          into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count), from: source)
        filled = count
      }
    }
  }

  /// The bytes of all ranks, by rank, on every rank.
  package func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    guard usesMPI else { return [bytes] }
    let counts = try gatherCounts(bytes.count)
    let starts = counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    let total = starts[size]
    var joined: [UInt8]
    if total <= countLimit {
      // MPI's own way has rounds of neighbours: no rank hears from each of the others, as rank 0 would below.
      joined = Array(repeating: 0, count: total)
      joined.replaceSubrange(starts[rank]..<starts[rank + 1], with: bytes)
      try check(
        cnn_mpi_all_gather_in_place(
          &joined, counts.map { Int32($0) }, starts.dropLast().map { Int32($0) }, cnn_mpi_byte(), world),
        "MPI_Allgatherv")
    } else {
      joined = try broadcast(gather(bytes)?.flatMap { $0 } ?? Array(repeating: 0, count: total))
    }
    return (0..<size).map { Array(joined[starts[$0]..<starts[$0 + 1]]) }
  }

  /// Not collective: rank `target` receives what this rank sends, with `receive(from:)`.
  package func send(_ bytes: [UInt8], to target: Int) throws {
    var count = bytes.count
    try check(cnn_mpi_send(&count, 1, cnn_mpi_int64(), Int32(target), Self.tag, world), "MPI_Send")
    try bytes.withUnsafeBytes { try send($0, to: target) }
  }

  /// Not collective: what rank `source` sends to this one.
  package func receive(from source: Int) throws -> [UInt8] {
    var count = 0
    try check(cnn_mpi_receive(&count, 1, cnn_mpi_int64(), Int32(source), Self.tag, world), "MPI_Recv")
    var bytes = Array(repeating: UInt8(0), count: count)
    try bytes.withUnsafeMutableBytes { try receive(into: $0, from: source) }
    return bytes
  }

  package func maximum(_ value: Int) throws -> Int { try reduce([value], cnn_mpi_max())[0] }
  package func minimum(_ value: Int) throws -> Int { try reduce([value], cnn_mpi_min())[0] }
  package func sum(_ value: Int) throws -> Int { try reduce([value], cnn_mpi_sum())[0] }

  /// Sums over all ranks, number by number.
  package func sum(_ values: [Int]) throws -> [Int] { try reduce(values, cnn_mpi_sum()) }

  private func reduce(_ values: [Int], _ operation: cnn_mpi_op) throws -> [Int] {
    guard usesMPI else { return values }
    var values = values
    try values.withUnsafeMutableBufferPointer { values in
      try inPieces(values.count) { offset, count in
        let start = values.baseAddress.map { $0 + offset }
        try check(cnn_mpi_all_reduce(start, count, cnn_mpi_int64(), operation, world), "MPI_Allreduce")
      }
    }
    return values
  }

  private func gatherCounts(_ count: Int) throws -> [Int] {
    var mine = count
    var counts = Array(repeating: 0, count: size)
    try check(cnn_mpi_all_gather(&mine, &counts, 1, cnn_mpi_int64(), world), "MPI_Allgather")
    return counts
  }

  private func send(_ bytes: UnsafeRawBufferPointer, to target: Int) throws {
    try inPieces(bytes.count) { offset, count in
      let start = bytes.baseAddress.map { $0 + offset }
      try check(cnn_mpi_send(start, count, cnn_mpi_byte(), Int32(target), Self.tag, world), "MPI_Send")
    }
  }

  private func receive(into bytes: UnsafeMutableRawBufferPointer, from source: Int) throws {
    try inPieces(bytes.count) { offset, count in
      let start = bytes.baseAddress.map { $0 + offset }
      try check(cnn_mpi_receive(start, count, cnn_mpi_byte(), Int32(source), Self.tag, world), "MPI_Recv")
    }
  }

  /// Calls `body` with the offset and count of each piece that one MPI call can take.
  func inPieces(_ total: Int, _ body: (_ offset: Int, _ count: Int32) throws -> Void) rethrows {
    for offset in stride(from: 0, to: total, by: countLimit) {
      try body(offset, Int32(min(countLimit, total - offset)))
    }
  }
}
