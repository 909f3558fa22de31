import COpenMPI
import Glibc
import Tensors

/// The MPI library that this process runs with, as it names itself.
package enum MPILibrary {
  /// `Open MPI v4.1.4`, …; whether or not MPI is started.
  package static var name: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(cnn_mpi_library_capacity)) { text in
      guard let start = text.baseAddress else { return "" }
      cnn_mpi_library(start)
      let whole = String(cString: start)
      // Behind the first comma comes who built it, and when.
      return whole.split(whereSeparator: { $0 == "," || $0.isNewline }).first.map { String($0) } ?? whole
    }
  }

  /// The version of the headers that this program was compiled with, `4.1.4`; nil where they tell none.
  package static var headers: String? {
    var (major, minor, release): (Int32, Int32, Int32) = (0, 0, 0)
    cnn_mpi_headers(&major, &minor, &release)
    return major == 0 ? nil : "\(major).\(minor).\(release)"
  }

  /// MPI's word for who may call it; nil before it is started.
  package static func threadLevel(_ communicator: Communicator) -> String? {
    guard communicator.usesMPI else { return nil }
    let names = ["single", "funneled", "serialized", "multiple"]
    let level = Int(cnn_mpi_thread_level())
    return names.indices.contains(level) ? names[level] : nil
  }
}

/// What the exchange of gradients asks of Open MPI's TCP; other libraries and other networks don't read it.
///
/// A message above the eager limit waits for the receiver's word that there is room, and that word stands in line
/// behind all that the receiver itself is sending: with both directions of a link full, each waits for the other.
/// Gradients have their room ready, so they go without asking, in pieces of `messageFloats`.
enum EagerMessages {
  /// Elements of a piece: 256 KB of floats.
  static let messageFloats = 1 << 16
  private static let headerBytes = 4096

  /// To be called before MPI starts. Whoever has set the limit (`mpirun --mca`, the environment) keeps it.
  static func ask() {
    setenv("OMPI_MCA_btl_tcp_eager_limit", "\(4 * messageFloats + headerBytes)", 0)
  }
}

extension Communicator {
  /// Whether the ranks of each node can map each other's memory; else they exchange by messages. Collective.
  package func canShareMemory() throws -> Bool {
    try NodeMemory(self, extent: 1024, valuesExtent: 1024, buckets: 1, partialCount: 1, shares: true).notice
      == nil
  }

  /// How many seconds this rank's wall clock is ahead of rank 0's. Collective.
  package func wallClockSkew() throws -> Double {
    let reading = try ClockAlignment.read(self)
    // A wall clock in terms of the same rank's monotonic clock, then both ranks' at one moment.
    let mine = wallSeconds() - monotonicSeconds()
    let coordinator = try broadcast(withUnsafeBytes(of: mine.bitPattern.littleEndian) { Array($0) })
    let theirs = Double(bitPattern: coordinator.reversed().reduce(0) { $0 << 8 | UInt64($1) })
    return mine - theirs - reading.offset
  }

  private func wallSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
