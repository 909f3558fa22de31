import CKernels
import COpenMPI
import Glibc
import Synchronization
import Tensors

/// How gradients are summed across ranks.
package enum ReductionMode: Sendable {
  /// In the order of the reduction tree: the same bits on any number of ranks.
  case tree
  /// By MPI_Allreduce, in whatever order MPI likes: the negative control of tests and of `verify`.
  case allReduce
}

/// Sums the gradients of all lanes and ranks in tree order, has the sums' owners update the values, and
/// hands the new values round, bucket by bucket, while backward and the next forward go on.
///
/// A step is a turn. Each bucket passes these stages in it:
///
///     final    every lane of a rank is done with its layers                     lanes: `finish`
///     summed   the group's partial sums are added up, by the owner or deputies   any lane: `poll`
///     arrived  the other groups' sums of this rank's piece are here              lane 0: `poll`
///     rooted   this rank's piece of the sum is complete                          any lane: `poll`
///     updated  the optimizer has written the piece of the values                 any lane: `poll`
///     settled  so has everyone else's, and what other groups own is here         lane 0: `poll`
///
/// Nobody waits for a stage but who needs it: forward, before it uses a layer, and whoever reads the values
/// (`settle`). Lanes come by between two operators and do what there is to do. All MPI calls are lane 0's,
/// which is the main thread (MPI_THREAD_FUNNELED); a thread that waits inside MPI would take a core
/// from the lanes. No order depends on who comes by when: each element's additions are the tree's.
package final class GradientReducer: @unchecked Sendable {
  package struct Options: Sendable {
    package var mode = ReductionMode.tree
    /// Whether updates wait until all sums are complete and `release` is called, for what needs a norm of all.
    package var updatesTogether = false
    /// Whether ranks of a node exchange through memory that they share.
    package var sharesMemory = true
    /// Whether turns round the nodes of gradients to bf16, as which they then travel.
    package var rounds = false
    /// How many nodes of the tree a group adds up at a time, a power of two; 0 for all at once, by the owners alone
    /// (`ExchangeSchedule`). Only where nothing is rounded.
    package var fanIn = 0

    package init(
      mode: ReductionMode = .tree, updatesTogether: Bool = false, sharesMemory: Bool = true,
      rounds: Bool = false, fanIn: Int = 0
    ) {
      precondition(fanIn == 0 || !rounds, "sums that are added up by stages expect to keep all their bits")
      (self.mode, self.updatesTogether) = (mode, updatesTogether)
      (self.sharesMemory, self.rounds, self.fanIn) = (sharesMemory, rounds, fanIn)
    }
  }

  /// Writes new values into a piece of a bucket, on the thread of a lane; element i of the sums is at `sums + i`.
  package typealias Update =
    @Sendable (_ piece: Range<Int>, _ sums: UnsafeMutablePointer<Float>, _ lane: Int) -> Void

  /// Hears, on the main thread, what becomes of the values that this rank holds for its group (`copies`).
  package struct CopyWatch: Sendable {
    /// A piece's values are no longer needed and will be overwritten.
    let willReplace: @Sendable (_ piece: Range<Int>) -> Void
    /// The new ones are here.
    let received: @Sendable (_ piece: Range<Int>) -> Void

    package init(
      willReplace: @escaping @Sendable (Range<Int>) -> Void,
      received: @escaping @Sendable (Range<Int>) -> Void
    ) {
      (self.willReplace, self.received) = (willReplace, received)
    }
  }

  package let buckets: Buckets
  package let options: Options
  /// This rank's buffers for partial sums, whole flat buffers of zeros.
  package let partials: [FloatBuffer]
  /// The values: one copy for all ranks that share memory.
  package let values: FloatBuffer
  let communicator: Communicator
  let memory: NodeMemory
  let messages: (any ExchangeMessages)?
  let kernels: UnsafePointer<cnn_reduction_kernels>
  let lanes: Int
  let place: Int
  /// The ranks of other groups that this rank is the deputy for.
  let dealsWith: [Int]

  /// By bucket, over all turns: how often a lane finished it, and the last turn that passed each stage.
  let finished: Counters
  let summed: Counters
  let arrived: Counters
  let rooted: Counters
  let updated: Counters
  /// The next position (turn · buckets + bucket) to claim for each stage; a stage takes buckets in order.
  let summing: Atomic<Int>
  let rooting: Atomic<Int>
  let updating: Atomic<Int>
  let begun = Atomic<Int>(0)
  let released = Atomic<Int>(0)
  /// By lane: how many buckets of the turn it has finished.
  private(set) var laneFinished: [UnsafeMutablePointer<Int>]
  /// Of the last two turns, by turn % 2.
  private var turns: [Turn?] = [nil, nil]
  let failed = Atomic<Bool>(false)
  var failure: (any Error)?
  private(set) var idleSums: FloatBuffer?

  struct Turn {
    let plan: ExchangePlan
    let rounding: NodeRounding?
    let update: Update
    let copies: CopyWatch?
  }

  /// A reducer for `lanes` lanes of this rank with `partialCount` buffers for their sums. Collective; the
  /// same on all ranks but for these two.
  package init(
    _ communicator: Communicator, buckets: Buckets, partialCount: Int, lanes: Int, kernels: InstructionSet,
    options: Options = Options()
  ) throws {
    precondition(
      buckets.ranks == communicator.size,
      "\(communicator.size) ranks expect as many pieces, got \(buckets.ranks)")
    self.communicator = communicator
    self.buckets = buckets
    self.options = options
    self.lanes = lanes
    self.kernels = cnn_reduction_kernels_for(kernels.kernelTable)
    memory = try NodeMemory(
      communicator, extent: buckets.extent, buckets: buckets.count, partialCount: partialCount,
      shares: options.sharesMemory)
    place = memory.groups.place(of: communicator.rank)
    dealsWith = memory.groups.owners(dealingWith: communicator.rank)
    partials = memory.partials[place]
    values = memory.values
    if memory.groups.count == 1 {
      messages = nil
    } else if options.fanIn > 0, options.mode == .tree {
      messages = StagedMessages(communicator, buckets: buckets, memory: memory, kernels: self.kernels)
    } else {
      messages = BucketMessages(
        communicator, buckets: buckets, memory: memory, sendsSums: options.mode == .tree,
        rounding: options.rounds ? cnn_rounding_kernels_for(kernels.kernelTable).pointee : nil)
    }
    func counters() -> Counters {
      Counters(initialising: .allocate(byteCount: 8 * buckets.count, alignment: 64), count: buckets.count)
    }
    (finished, summed, arrived, rooted, updated) = (
      counters(), counters(), counters(), counters(), counters()
    )
    summing = Atomic(buckets.count)
    rooting = Atomic(buckets.count)
    updating = Atomic(buckets.count)
    laneFinished = (0..<lanes).map { _ in
      // A cache line for each lane.
      let count = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64).bindMemory(
        to: Int.self, capacity: 1)
      count.initialize(to: 0)
      return count
    }
  }

  deinit {
    for counters in [finished, summed, arrived, rooted, updated] { counters.deallocate() }
    for count in laneFinished { count.deallocate() }
  }

  /// What this rank owns, bucket by bucket.
  package var pieces: [Range<Int>] { buckets.pieces(of: communicator.rank) }

  /// What other ranks own of the values and this one holds for its group.
  package var copies: [Range<Int>] {
    dealsWith.flatMap { buckets.pieces(of: $0) }.filter { !$0.isEmpty }
  }

  /// What to tell the user, or nil.
  package var notice: String? { memory.notice }

  /// Bytes that this rank has sent since the beginning.
  package var bytesSent: Int { messages?.bytesSent ?? 0 }

  /// Bytes of this rank's room for what arrives from others; where it has no microbatch, also for its sums.
  package var exchangeBytes: Int { (messages?.memoryBytes ?? 0) + (idleSums?.count ?? 0) * 4 }

  /// Ranks that have one copy of the values in common with this one, itself included.
  package var sharers: Int { memory.groups.members[memory.groups.group(of: communicator.rank)].count }

  /// Ranks in groups that share memory.
  package var groupCount: Int { memory.groups.count }

  /// What this rank does in each turn with this division of work; `sums` says where its lanes leave
  /// their partial sums. Made once for each number of microbatches. Collective.
  package func plan(for division: WorkDivision, sums: [PartialSum]) throws -> ExchangePlan {
    let all = try communicator.allGather(
      integers: sums.flatMap { [$0.node.lowerBound, $0.node.upperBound, $0.buffer] })
    let decoded = all.map { numbers in
      stride(from: 0, to: numbers.count, by: 3).map {
        PartialSum(node: numbers[$0]..<numbers[$0 + 1], buffer: numbers[$0 + 2])
      }
    }
    let group = memory.groups.members[memory.groups.group(of: communicator.rank)]
    let isIdle = options.mode == .tree ? group.allSatisfy { decoded[$0].isEmpty } : sums.isEmpty
    if isIdle, idleSums == nil { idleSums = FloatBuffer(count: buckets.extent) }
    let plan = ExchangePlan(
      division, sums: decoded, memory: memory, buckets: buckets, rank: communicator.rank,
      packs: options.rounds, fanIn: options.mode == .tree ? options.fanIn : 0,
      idleSums: isIdle ? idleSums : nil, kernels: kernels)
    try messages?.prepare(for: plan)
    return plan
  }

  /// Begins a turn. Main thread, while no lane runs. `rounding` where the options say so; lanes round what
  /// they leave in `partials` by the same.
  package func begin(
    _ plan: ExchangePlan, rounding: NodeRounding? = nil, copies: CopyWatch? = nil, update: @escaping Update
  ) {
    precondition((rounding != nil) == options.rounds, "a reducer that rounds expects to be told how")
    let turn = begun.load(ordering: .relaxed) + 1
    turns[turn % 2] = Turn(plan: plan, rounding: rounding, update: update, copies: copies)
    for count in laneFinished { count.pointee = 0 }
    begun.store(turn, ordering: .releasing)
  }

  /// What the last turn left: the sums of this rank's pieces, each element at its place in the flat buffer.
  package var sums: UnsafeMutablePointer<Float> { sums(of: turn(begun.load(ordering: .relaxed)).plan) }

  func sums(of plan: ExchangePlan) -> UnsafeMutablePointer<Float> {
    switch options.mode {
    case .tree: plan.sums
    case .allReduce: anyOrderSums(plan)
    }
  }

  func turn(_ number: Int) -> Turn {
    guard let turn = turns[number % 2] else { preconditionFailure("turn \(number) has not begun") }
    return turn
  }
}

// What the main thread calls when its lanes are done.
extension GradientReducer {
  /// Waits until the tail of this turn (statistics and metrics) is settled, throws what went wrong in it.
  package func awaitTail() throws {
    let turn = begun.load(ordering: .relaxed)
    let tail = 0..<max(1, buckets.tailCount)
    wait(lane: 0) { isSettled(tail, turn) && messages?.hasPostedValues(tail, of: turn) ?? true }
    try checkFailure()
  }

  /// Waits until the sums of all this rank's pieces are complete; then a norm can be taken.
  package func awaitSums() throws {
    let turn = begun.load(ordering: .relaxed)
    wait(lane: 0) {
      (0..<buckets.count).allSatisfy { rooted.load($0) >= turn } && messages?.hasPostedSums(of: turn) ?? true
    }
    try checkFailure()
  }

  /// Lets the updates of this turn begin, where they wait for each other.
  package func release() { released.store(begun.load(ordering: .relaxed), ordering: .releasing) }

  /// Waits until all new values are here and nothing of this rank's is on its way: from now on, and until
  /// the next turn, anyone of this rank may read the values. Collective.
  package func settle() throws {
    let turn = begun.load(ordering: .relaxed)
    wait(lane: 0) { isSettled(0..<buckets.count, turn) && messages?.isIdle(after: turn) ?? true }
    try checkFailure()
  }

  /// Overwrites the first floats of the values, in every group's copy. Collective, between two turns.
  package func replaceValues(_ new: UnsafePointer<Float>, count: Int) throws {
    try settle()
    // Nobody who shares this copy reads it any more, and nobody reads it before it is whole.
    try communicator.barrier()
    if place == 0 { values.pointer.update(from: new, count: count) }
    try communicator.barrier()
  }

  private func checkFailure() throws {
    if let failure { throw failure }
  }
}

// What is no gradient.
extension GradientReducer {
  /// Fills in the other ranks' pieces of a flat buffer of which this rank has its own. Collective, between
  /// two turns; waits.
  package func gather(_ buffer: FloatBuffer) throws {
    guard communicator.size > 1 else { return }
    for (bucket, range) in buckets.ranges.enumerated() {
      let pieces = (0..<communicator.size).map { buckets.piece(bucket, of: $0) }
      try communicator.check(
        cnn_mpi_all_gather_in_place(
          buffer.pointer + range.lowerBound, pieces.map { Int32($0.count) },
          pieces.map { Int32($0.lowerBound - range.lowerBound) }, cnn_mpi_float(), communicator.world),
        "MPI_Allgatherv")
    }
  }
}
