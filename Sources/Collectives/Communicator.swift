import COpenMPI
import Glibc

/// All ranks of a job, or a single process that is a job by itself: then MPI isn't initialised, and
/// every operation below returns what one rank has.
///
/// Every operation is collective unless it says otherwise: all ranks call it, in the same order, from
/// the main thread. Floats are not summed here: that is the tree's business (`GradientReducer`).
package final class Communicator {
  /// Where a rank runs.
  package struct Place: Hashable, Sendable {
    /// Nodes are numbered in the order of their first rank.
    package let node: Int
    package let localRank: Int
    /// Ranks on this node.
    package let localSize: Int

    package init(node: Int, localRank: Int, localSize: Int) {
      (self.node, self.localRank, self.localSize) = (node, localRank, localSize)
    }
  }

  package let rank: Int
  package let size: Int
  /// By world rank.
  package let places: [Place]
  /// The most elements in one MPI call: counts are C ints. Tests lower it.
  let countLimit: Int
  let usesMPI: Bool
  let world: cnn_mpi_comm
  /// The same ranks, for what starts while messages of `world` are on their way in another order on each.
  let meetings: cnn_mpi_comm

  /// Joins the job that the environment tells of, or makes a job of this process alone. Throws
  /// `LaunchError` where processes were started together that can't find each other, and
  /// `CommunicationError`. Once per process.
  package static func start(environment: [String: String]) throws -> Communicator {
    switch try Launch.detect(environment: environment) {
    case .alone: return .alone()
    case .together(let processes): return try Communicator(expecting: processes)
    }
  }

  /// This process as a job by itself, whoever was started with it.
  package static func alone() -> Communicator { Communicator() }

  private init() {
    (rank, size, usesMPI) = (0, 1, false)
    places = [Place(node: 0, localRank: 0, localSize: 1)]
    world = cnn_mpi_world()
    meetings = world
    countLimit = Int(Int32.max)
  }

  private init(_ other: Communicator, countLimit: Int, places: [Place]) {
    (rank, size, usesMPI) = (other.rank, other.size, other.usesMPI)
    (world, meetings) = (other.world, other.meetings)
    self.places = places
    self.countLimit = countLimit
  }

  private init(expecting processes: Int?) throws {
    var granted: Int32 = 0
    EagerMessages.ask()
    try CommunicationError.check(cnn_mpi_start(&granted), "MPI_Init_thread", rank: 0)
    guard granted != 0 else {
      throw CommunicationError(call: "MPI_Init_thread", rank: 0, reason: "no support for MPI_THREAD_FUNNELED")
    }
    let world = cnn_mpi_world()
    var (rank, size): (Int32, Int32) = (0, 0)
    try CommunicationError.check(cnn_mpi_return_errors(world), "MPI_Comm_set_errhandler", rank: 0)
    try CommunicationError.check(cnn_mpi_comm_rank(world, &rank), "MPI_Comm_rank", rank: 0)
    try CommunicationError.check(cnn_mpi_comm_size(world, &size), "MPI_Comm_size", rank: Int(rank))
    if let processes, size < processes { throw LaunchError(processes: processes, found: Int(size)) }
    var meetings = world
    try CommunicationError.check(cnn_mpi_duplicate(world, &meetings), "MPI_Comm_dup", rank: Int(rank))
    try CommunicationError.check(
      cnn_mpi_return_errors(meetings), "MPI_Comm_set_errhandler", rank: Int(rank))
    (self.world, self.meetings) = (world, meetings)
    (self.rank, self.size, usesMPI) = (Int(rank), Int(size), true)
    countLimit = Int(Int32.max)
    places = try Self.findPlaces(world, rank: Int(rank), size: Int(size))
  }

  /// The same ranks, with at most `countLimit` elements in one MPI call.
  package func limited(to countLimit: Int) -> Communicator {
    precondition(
      countLimit > 0 && countLimit <= Int(Int32.max), "a count limit expects 1 ... 2³¹−1, got \(countLimit)")
    return Communicator(self, countLimit: countLimit, places: places)
  }

  /// The same ranks, as if they sat on these nodes: `nodes[r]` is the node of world rank r.
  package func pretending(nodes: [Int]) -> Communicator {
    precondition(nodes.count == size, "\(size) ranks expect as many nodes, got \(nodes)")
    let places = nodes.indices.map { rank in
      Place(
        node: nodes[rank], localRank: nodes[..<rank].count { $0 == nodes[rank] },
        localSize: nodes.count { $0 == nodes[rank] })
    }
    return Communicator(self, countLimit: countLimit, places: places)
  }

  package var place: Place { places[rank] }
  package var nodeCount: Int { places.reduce(0) { max($0, $1.node + 1) } }

  /// The world ranks in (node, local rank) order: the order in which work is shared out.
  package var ranksInNodeOrder: [Int] {
    places.indices.sorted {
      (places[$0].node, places[$0].localRank) < (places[$1].node, places[$1].localRank)
    }
  }

  /// Returns when every rank has called it.
  package func barrier() throws {
    guard usesMPI else { return }
    try check(cnn_mpi_barrier(world), "MPI_Barrier")
  }

  /// Leaves MPI, on the success path only: a rank that fails calls `abort`, or the others would wait here.
  package func finish() throws {
    guard usesMPI else { return }
    var meetings = meetings
    try check(cnn_mpi_comm_free(&meetings), "MPI_Comm_free")
    try check(cnn_mpi_finish(), "MPI_Finalize")
  }

  /// Ends the whole job with this status, from any rank alone.
  package func abort(status: Int32) -> Never {
    fflush(nil)
    guard usesMPI else { exit(status) }
    _ = cnn_mpi_abort(world, status)
    _exit(status)
  }

  func check(_ code: Int32, _ call: StaticString) throws(CommunicationError) {
    try CommunicationError.check(code, call, rank: rank)
  }

  /// The place of every rank; a node is a set of ranks that share memory.
  private static func findPlaces(_ world: cnn_mpi_comm, rank: Int, size: Int) throws -> [Place] {
    func check(_ code: Int32, _ call: StaticString) throws(CommunicationError) {
      try CommunicationError.check(code, call, rank: rank)
    }
    var node = world
    try check(cnn_mpi_split_by_node(world, Int32(rank), &node), "MPI_Comm_split_type")
    try check(cnn_mpi_return_errors(node), "MPI_Comm_set_errhandler")
    var (localRank, localSize): (Int32, Int32) = (0, 0)
    try check(cnn_mpi_comm_rank(node, &localRank), "MPI_Comm_rank")
    try check(cnn_mpi_comm_size(node, &localSize), "MPI_Comm_size")
    // A node is known by the world rank of its first rank.
    var leader = rank
    try check(cnn_mpi_broadcast(&leader, 1, cnn_mpi_int64(), 0, node), "MPI_Bcast")
    try check(cnn_mpi_comm_free(&node), "MPI_Comm_free")
    let mine = [leader, Int(localRank), Int(localSize)]
    var all = Array(repeating: 0, count: 3 * size)
    try check(cnn_mpi_all_gather(mine, &all, 3, cnn_mpi_int64(), world), "MPI_Allgather")
    var nodes: [Int: Int] = [:]
    var places: [Place] = []
    for start in stride(from: 0, to: all.count, by: 3) {
      let node = nodes[all[start], default: nodes.count]
      nodes[all[start]] = node
      places.append(Place(node: node, localRank: all[start + 1], localSize: all[start + 2]))
    }
    return places
  }
}
