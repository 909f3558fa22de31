import ArgumentParser
import Collectives
import Foundation
import Tensors
import Training

/// `cnn-dist bench reduce`: sums across ranks beside MPI_Allreduce.
struct BenchReduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reduce",
    abstract: "Time the summing of gradients across ranks, beside MPI_Allreduce of the same buffer.",
    discussion: """
      Prints median times and bus bandwidth, 2 (n - 1) / n of the buffer a second for n ranks. "sent" is the bytes that \
      a rank gives MPI in a round, on average and at most, beside the same 2 (n - 1) / n of the buffer, which is the \
      least: runs of microbatches that don't align with subtrees cost more, shared memory sends nothing.

      Examples:
        mpirun -np 2 cnn-dist bench reduce
        mpirun -np 4 cnn-dist bench reduce --bytes 1048576 --bytes 67108864 --json
        mpirun -np 3 cnn-dist bench reduce --messages --microbatches 8
        mpirun -np 4 cnn-dist bench reduce --messages --fan-in 2
      """)

  @Option(help: "A size of the buffer in bytes; may be given several times. Default: 4 KiB to 256 MiB.")
  var bytes: [Int] = []
  @Option(help: "Bytes summed at a time; 0 for automatic.") var bucketBytes = 0
  @Flag(help: "Send messages between ranks of a node too, in place of memory that they share.")
  var messages = false
  @Option(help: "Microbatches that ranks share out, the leaves of the tree; 0 for one a rank.")
  var microbatches = 0
  @Option(help: "Nodes of the tree that are added up at a time, a power of two; 0 for all at once.")
  var fanIn = 0
  @Option(help: "How long to measure each size, in seconds.") var seconds = 0.5
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard bytes.allSatisfy({ $0 > 0 }), bucketBytes >= 0, microbatches >= 0, seconds > 0 else {
      throw ValidationError("sizes and times are positive")
    }
    guard fanIn == 0 || (fanIn > 1 && fanIn & (fanIn - 1) == 0) else {
      throw ValidationError("--fan-in expects 0 or a power of two from 2 on, got \(fanIn)")
    }
  }

  func run() throws {
    try Program.run { communicator in
      guard communicator.size > 1 else {
        throw RunError("bench reduce expects at least 2 ranks: mpirun -np 2 cnn-dist bench reduce")
      }
      let kernels = try InstructionSet.selected(
        pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
      let sizes = bytes.isEmpty ? (0...8).map { 4096 << (2 * $0) } : bytes
      let rows = try ReduceBenchmark(
        bytes: sizes, bucketBytes: bucketBytes, sharesMemory: !messages, kernels: kernels,
        microbatches: microbatches, fanIn: fanIn, seconds: seconds
      ).run(communicator)
      if communicator.rank == 0 { print(json ? Self.json(rows, communicator) : Self.text(rows)) }
      return 0
    }
  }

  private static func text(_ rows: [ReduceBenchmark.Row]) -> String {
    func figure(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
    return TextTable.text(
      [
        [
          "bytes", "rounds", "tree ms", "GB/s", "MPI_Allreduce ms", "GB/s", "time ratio", "sent", "most",
          "bound",
        ]
      ]
        + rows.map { row in
          [
            "\(row.bytes)", "\(row.rounds)", figure(row.treeSeconds * 1e3, 3),
            figure(row.busBandwidth(row.treeSeconds) * 1e-9, 2), figure(row.allReduceSeconds * 1e3, 3),
            figure(row.busBandwidth(row.allReduceSeconds) * 1e-9, 2),
            figure(row.treeSeconds / row.allReduceSeconds, 2),
            "\(row.bytesSent.reduce(0, +) / row.ranks)", "\(row.bytesSent.max() ?? 0)", "\(row.bytesBound)",
          ]
        })
  }

  private static func json(_ rows: [ReduceBenchmark.Row], _ communicator: Communicator) -> String {
    let sizes = rows.map { row in
      """
      {"bytes": \(row.bytes), "rounds": \(row.rounds), "tree_seconds": \(row.treeSeconds), \
      "tree_gigabytes_per_second": \(row.busBandwidth(row.treeSeconds) * 1e-9), \
      "all_reduce_seconds": \(row.allReduceSeconds), \
      "all_reduce_gigabytes_per_second": \(row.busBandwidth(row.allReduceSeconds) * 1e-9), \
      "partial_sums": \(row.partialSums), "bytes_sent": \(row.bytesSent), "bytes_bound": \(row.bytesBound)}
      """
    }
    return """
      {"ranks": \(communicator.size), "nodes": \(communicator.nodeCount), "sizes": [\(sizes.joined(separator: ", "))]}
      """
  }
}
