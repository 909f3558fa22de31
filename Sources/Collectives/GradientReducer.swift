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

    package init(
      mode: ReductionMode = .tree, updatesTogether: Bool = false, sharesMemory: Bool = true,
      rounds: Bool = false
    ) {
      (self.mode, self.updatesTogether) = (mode, updatesTogether)
      (self.sharesMemory, self.rounds) = (sharesMemory, rounds)
    }
  }

  /// Writes new values into a piece of a bucket; element i of the sums is at `sums + i`.
  package typealias Update =
    @Sendable (_ piece: Range<Int>, _ sums: UnsafeMutablePointer<Float>) -> Void

  package let buckets: Buckets
  package let options: Options
  /// This rank's buffers for partial sums, whole flat buffers of zeros.
  package let partials: [FloatBuffer]
  /// The values: one copy for all ranks that share memory.
  package let values: FloatBuffer
  let communicator: Communicator
  private let memory: NodeMemory
  private let messages: BucketMessages?
  private let kernels: UnsafePointer<cnn_reduction_kernels>
  private let lanes: Int
  private let place: Int
  /// The ranks of other groups that this rank is the deputy for.
  private let dealsWith: [Int]

  /// By bucket, over all turns: how often a lane finished it, and the last turn that passed each stage.
  private let finished: Counters
  private let summed: Counters
  private let arrived: Counters
  private let rooted: Counters
  private let updated: Counters
  /// The next position (turn · buckets + bucket) to claim for each stage; a stage takes buckets in order.
  private let summing: Atomic<Int>
  private let rooting: Atomic<Int>
  private let updating: Atomic<Int>
  private let begun = Atomic<Int>(0)
  private let released = Atomic<Int>(0)
  /// By lane: how many buckets of the turn it has finished.
  private var laneFinished: [UnsafeMutablePointer<Int>]
  /// Of the last two turns, by turn % 2.
  private var turns: [Turn?] = [nil, nil]
  private let failed = Atomic<Bool>(false)
  private var failure: (any Error)?
  private var idleSums: FloatBuffer?

  private struct Turn {
    let plan: ExchangePlan
    let rounding: NodeRounding?
    let update: Update
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
    messages =
      memory.groups.count == 1
      ? nil
      : BucketMessages(
        communicator, buckets: buckets, memory: memory, sendsSums: options.mode == .tree,
        rounding: options.rounds ? cnn_rounding_kernels_for(kernels.kernelTable).pointee : nil)
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

  /// What to tell the user, or nil.
  package var notice: String? { memory.notice }

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
      packs: options.rounds, idleSums: isIdle ? idleSums : nil, kernels: kernels)
    messages?.prepare(for: plan)
    return plan
  }

  /// Begins a turn. Main thread, while no lane runs. `rounding` where the options say so; lanes round what
  /// they leave in `partials` by the same.
  package func begin(_ plan: ExchangePlan, rounding: NodeRounding? = nil, update: @escaping Update) {
    precondition((rounding != nil) == options.rounds, "a reducer that rounds expects to be told how")
    let turn = begun.load(ordering: .relaxed) + 1
    turns[turn % 2] = Turn(plan: plan, rounding: rounding, update: update)
    for count in laneFinished { count.pointee = 0 }
    begun.store(turn, ordering: .releasing)
  }

  /// What the last turn left: the sums of this rank's pieces, each element at its place in the flat buffer.
  package var sums: UnsafeMutablePointer<Float> { sums(of: turn(begun.load(ordering: .relaxed)).plan) }

  private func sums(of plan: ExchangePlan) -> UnsafeMutablePointer<Float> {
    switch options.mode {
    case .tree: plan.sums
    case .allReduce: anyOrderSums(plan)
    }
  }

  private func turn(_ number: Int) -> Turn {
    guard let turn = turns[number % 2] else { preconditionFailure("turn \(number) has not begun") }
    return turn
  }
}

// What lanes call.
extension GradientReducer {
  /// Lane `lane` has written its last to the first `count` buckets in this turn.
  package func finish(_ count: Int, lane: Int) {
    let turn = begun.load(ordering: .acquiring)
    let done = laneFinished[lane]
    while done.pointee < count {
      if finished.increment(done.pointee) == lanes * turn { memory.finals[place].set(done.pointee, turn) }
      done.pointee += 1
    }
  }

  /// Waits until these buckets hold the values that the last turn made.
  package func awaitValues(_ wanted: Range<Int>, lane: Int) {
    let turn = begun.load(ordering: .acquiring) - 1
    wait(lane: lane) { isSettled(wanted, turn) }
  }

  /// Whether these buckets hold the values that the last turn made.
  package func hasValues(_ wanted: Range<Int>) -> Bool {
    isSettled(wanted, begun.load(ordering: .acquiring) - 1)
  }

  /// Waits until the last turn is over for this rank: it has all new values and, lane 0 sees to that, MPI has
  /// all of its own. Otherwise they could stay behind this turn's sums, which others can't take before they
  /// have these values.
  package func awaitLastTurn(lane: Int) {
    let turn = begun.load(ordering: .acquiring) - 1
    let all = 0..<buckets.count
    wait(lane: lane) {
      isSettled(all, turn) && (lane != 0 || messages?.hasPostedValues(all, of: turn) ?? true)
    }
  }

  /// Does what there is to do between two operators; whether there was anything.
  @discardableResult
  package func poll(lane: Int) -> Bool {
    var worked = false
    while takeSum() || takeRoot() || takeUpdate() { worked = true }
    if lane == 0, progressMessages() { worked = true }
    return worked
  }

  /// Helps until all lanes of this rank have finished and there is nothing left that can be done now.
  package func helpOut(lane: Int) {
    let turn = begun.load(ordering: .acquiring)
    wait(lane: lane) { memory.finals[place].load(buckets.count - 1) >= turn }
    while poll(lane: lane) {}
  }

  private func isSettled(_ wanted: Range<Int>, _ turn: Int) -> Bool {
    memory.settled.allSatisfy { settled in wanted.allSatisfy { settled.load($0) >= turn } }
  }

  /// Waits for a condition and does meanwhile what there is to do; returns early where something failed.
  package func wait(lane: Int, until condition: () -> Bool) {
    var naps = 0
    while !condition(), !failed.load(ordering: .relaxed) {
      if poll(lane: lane) {
        naps = 0
      } else {
        // A short wait is a neighbour's last operator; a long one must not keep a core from its work.
        if naps < 200 { sched_yield() } else { usleep(50) }
        naps += 1
      }
    }
  }

  /// Statistics and metrics are never rounded.
  private func rounding(of bucket: Int, in turn: Int) -> NodeRounding? {
    bucket < buckets.tailCount ? nil : self.turn(turn).rounding
  }

  private func split(_ position: Int) -> (turn: Int, bucket: Int) {
    (position / buckets.count, position % buckets.count)
  }

  private func claim(_ stage: borrowing Atomic<Int>, _ position: Int) -> Bool {
    stage.compareExchange(
      expected: position, desired: position + 1, ordering: .acquiringAndReleasing
    ).exchanged
  }

  private func takeSum() -> Bool {
    guard options.mode == .tree else { return false }
    let position = summing.load(ordering: .acquiring)
    let (turn, bucket) = split(position)
    guard turn <= begun.load(ordering: .acquiring), memory.finals.allSatisfy({ $0.load(bucket) >= turn }),
      claim(summing, position)
    else { return false }
    let plan = self.turn(turn).plan
    if plan.hasLocals {
      let rounding = rounding(of: bucket, in: turn)
      plan.addLocals(buckets.piece(bucket, of: communicator.rank), rounding: rounding)
      for owner in dealsWith {
        plan.addLocals(buckets.piece(bucket, of: owner), rounding: rounding)
      }
    }
    summed.set(bucket, turn)
    return true
  }

  private func takeRoot() -> Bool {
    let position = rooting.load(ordering: .acquiring)
    let (turn, bucket) = split(position)
    guard options.mode == .tree, summed.load(bucket) >= turn,
      messages == nil || arrived.load(bucket) >= turn, claim(rooting, position)
    else { return false }
    if let messages {
      self.turn(turn).plan.addRoot(
        buckets.piece(bucket, of: communicator.rank), arrivals: messages.arrivals(at: position),
        rounding: rounding(of: bucket, in: turn))
    }
    rooted.set(bucket, turn)
    return true
  }

  private func takeUpdate() -> Bool {
    let position = updating.load(ordering: .acquiring)
    let (turn, bucket) = split(position)
    guard rooted.load(bucket) >= turn,
      !options.updatesTogether || released.load(ordering: .acquiring) >= turn, claim(updating, position)
    else { return false }
    let piece = buckets.piece(bucket, of: communicator.rank)
    let now = self.turn(turn)
    if !piece.isEmpty { now.update(piece, sums(of: now.plan)) }
    updated.set(bucket, turn)
    if messages == nil { memory.settled[place].set(bucket, turn) }
    return true
  }

  /// Ends all waiting of this rank's lanes; the turn throws `error`. Lane 0.
  package func fail(_ error: any Error) {
    failure = error
    failed.store(true, ordering: .releasing)
  }

  package var hasFailed: Bool { failed.load(ordering: .acquiring) }

  private func progressMessages() -> Bool {
    guard let messages, !failed.load(ordering: .relaxed) else { return false }
    do {
      return try messages.progress(
        BucketMessages.Progress(
          begun: begun.load(ordering: .relaxed), summed: summed, arrived: arrived, rooted: rooted,
          updated: updated, plan: { self.turn($0).plan }))
    } catch {
      fail(error)
      return false
    }
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

// The negative control.
extension GradientReducer {
  private func anyOrderSums(_ plan: ExchangePlan) -> UnsafeMutablePointer<Float> {
    guard let sums = plan.ownSums.first ?? idleSums?.pointer else {
      preconditionFailure("a rank without partial sums expects room for those of others")
    }
    return sums
  }

  /// In mode `.allReduce`: adds up this rank's partial sums one after another, then those of all ranks by
  /// MPI_Allreduce. Collective, when all lanes have finished.
  package func reduceInAnyOrder() throws {
    let number = begun.load(ordering: .relaxed)
    let plan = turn(number).plan
    let result = anyOrderSums(plan)
    if plan.ownSums.isEmpty { result.update(repeating: 0, count: buckets.extent) }
    for other in plan.ownSums.dropFirst() { kernels.pointee.add(result, other, buckets.extent) }
    if communicator.size > 1 {
      try communicator.inPieces(buckets.extent) { offset, count in
        try communicator.check(
          cnn_mpi_all_reduce(result + offset, count, cnn_mpi_float(), cnn_mpi_sum(), communicator.world),
          "MPI_Allreduce")
      }
    }
    for bucket in 0..<buckets.count {
      summed.set(bucket, number)
      rooted.set(bucket, number)
    }
  }
}
