import CKernels
import COpenMPI
import Tensors

/// The messages between the groups of a reducer. Main thread only.
protocol ExchangeMessages: AnyObject {
  /// Since the beginning: bytes that this rank gave MPI to send.
  var bytesSent: Int { get }
  /// Room for what arrives.
  var memoryBytes: Int { get }
  /// Makes room for a plan's arrivals.
  func prepare(for plan: ExchangePlan) throws
  /// Where the arrivals of a position lie.
  func arrivals(at position: Int) -> UnsafeMutablePointer<Float>
  /// Posts what can be posted and notes what has come. Whether anything changed.
  func progress(_ known: BucketMessages.Progress) throws -> Bool
  func isIdle(after turn: Int) -> Bool
  func hasPostedSums(of turn: Int) -> Bool
  func hasPostedValues(_ wanted: Range<Int>, of turn: Int) -> Bool
}

/// The messages of a reducer whose ranks form more than one group: partial sums to the owners of pieces,
/// new values back. Main thread only; `progress` is called between the operators of lane 0 and moves
/// everything on, nobody waits inside MPI.
///
/// A turn is a step of the reducer, counted from 1; position p stands for bucket p % count in turn p / count.
final class BucketMessages: ExchangeMessages {
  private let communicator: Communicator
  private let buckets: Buckets
  private let memory: NodeMemory
  private let sendsSums: Bool
  /// Where sums of gradients travel as bf16.
  private let rounding: cnn_rounding_kernels?
  /// The ranks of other groups that this rank deals with, and their deputies' group by group.
  private let owners: [Int]
  private let deputies: [Int]

  private var sumSends: [RequestList]
  private var sumReceives: [RequestList]
  private var valueSends: [RequestList]
  private var valueReceives: [RequestList]
  /// Positions below are: receives posted, sums sent, sums out of the way.
  private var receivesPosted: Int
  private var sumsPosted: Int
  private var sumsSent: Int
  private var arrived: Int
  /// By bucket: the turn whose values were sent, and received.
  private var valuesPosted: [Int]
  private var valuesReceived: [Int]
  private var valueSendsInFlight: [Int] = []
  /// Since the beginning: bytes that this rank gave MPI to send.
  private(set) var bytesSent = 0

  /// Room for what arrives, for `window` buckets.
  private var ring = FloatBuffer(count: 0)
  private var slot = 0
  /// The same as bf16, and room for what is sent as bf16.
  private var packedArrivals: [UInt16Buffer] = []
  private var packedSums: [UInt16Buffer] = []
  private static let window = 4
  private static let sumTag = 16
  private static let valueTag = 16 + 8192

  init(
    _ communicator: Communicator, buckets: Buckets, memory: NodeMemory, sendsSums: Bool,
    rounding: cnn_rounding_kernels?
  ) {
    self.communicator = communicator.limited(to: min(communicator.countLimit, EagerMessages.messageFloats))
    self.buckets = buckets
    self.memory = memory
    self.sendsSums = sendsSums
    self.rounding = rounding
    let (groups, rank) = (memory.groups, communicator.rank)
    owners = groups.owners(dealingWith: rank)
    deputies = groups.members.indices.filter { $0 != groups.group(of: rank) }
      .map { groups.deputy(for: rank, in: $0) }
    let none = Array(repeating: RequestList(), count: buckets.count)
    (sumSends, sumReceives, valueSends, valueReceives) = (none, none, none, none)
    let first = buckets.count
    (receivesPosted, sumsPosted, sumsSent, arrived) = (first, first, first, first)
    valuesPosted = Array(repeating: 0, count: buckets.count)
    valuesReceived = valuesPosted
  }

  /// Makes room for a plan's arrivals.
  func prepare(for plan: ExchangePlan) {
    let largest = (0..<buckets.count).map { buckets.piece($0, of: communicator.rank).count }.max() ?? 0
    let wanted = largest * plan.arrivalSources.count
    guard sendsSums else { return }
    if wanted > slot {
      slot = wanted
      ring = FloatBuffer(count: wanted * Self.window)
      if rounding != nil { packedArrivals = (0..<Self.window).map { _ in UInt16Buffer(count: wanted) } }
    }
    let sent =
      (0..<buckets.count).map { bucket in
        owners.reduce(0) { $0 + buckets.piece(bucket, of: $1).count } * plan.results.count
      }.max() ?? 0
    if rounding != nil, sent > packedSums.first?.count ?? 0 {
      packedSums = (0..<Self.window).map { _ in UInt16Buffer(count: sent) }
    }
  }

  /// Room for what arrives, and for what travels as bf16.
  var memoryBytes: Int { ring.count * 4 + (packedArrivals + packedSums).reduce(0) { $0 + $1.count * 2 } }

  /// Where the arrivals of a position lie.
  func arrivals(at position: Int) -> UnsafeMutablePointer<Float> {
    ring.pointer + position % Self.window * slot
  }

  /// What the reducer knows of its own work: how many turns of a bucket are added up in the group, added up
  /// to the root, and updated.
  struct Progress {
    let begun: Int
    let summed: Counters
    let arrived: Counters
    let rooted: Counters
    let updated: Counters
    let plan: (_ turn: Int) -> ExchangePlan
    let copies: (_ turn: Int) -> GradientReducer.CopyWatch?
  }

  /// Posts what can be posted and notes what has come. Whether anything changed.
  func progress(_ known: Progress) throws -> Bool {
    let before = (receivesPosted, sumsPosted, arrived, sumsSent)
    let end = (known.begun + 1) * buckets.count
    if sendsSums {
      while receivesPosted < end, isFree(receivesPosted, known) { try postReceives(known) }
    }
    while sumsPosted < end, known.summed.load(bucket(sumsPosted)) >= turn(sumsPosted),
      !packs(bucket(sumsPosted)) || sumsPosted - sumsSent < Self.window
    { try postSums(known) }
    while sendsSums, arrived < receivesPosted, try sumReceives[bucket(arrived)].isDone(communicator) {
      unpackArrivals(at: arrived, known)
      known.arrived.set(bucket(arrived), turn(arrived))
      arrived += 1
    }
    while sumsSent < sumsPosted, try sumSends[bucket(sumsSent)].isDone(communicator) { sumsSent += 1 }
    let moved = try moveValues(known)
    return moved || before != (receivesPosted, sumsPosted, arrived, sumsSent)
  }

  /// Whether everything that this rank owes others of a turn has left it.
  func isIdle(after turn: Int) -> Bool {
    hasPostedSums(of: turn) && sumsSent == sumsPosted && valueSendsInFlight.isEmpty
      && hasPostedValues(0..<buckets.count, of: turn)
  }

  /// Whether MPI has all partial sums of a turn. What MPI has arrives even while this rank waits inside another
  /// call of MPI's; what it hasn't needs `progress`. So nobody may leave for a collective before this.
  func hasPostedSums(of turn: Int) -> Bool { sumsPosted >= (turn + 1) * buckets.count }

  /// Whether MPI has this rank's new values of some buckets.
  func hasPostedValues(_ wanted: Range<Int>, of turn: Int) -> Bool {
    wanted.allSatisfy { valuesPosted[$0] >= turn }
  }

  private func packs(_ bucket: Int) -> Bool { rounding != nil && bucket >= buckets.tailCount }

  private func unpackArrivals(at position: Int, _ known: Progress) {
    guard packs(bucket(position)), let rounding else { return }
    let count = buckets.piece(bucket(position), of: communicator.rank).count
    rounding.unpack(
      arrivals(at: position), packedArrivals[position % Self.window].pointer,
      count * known.plan(turn(position)).arrivalSources.count)
  }

  private func bucket(_ position: Int) -> Int { position % buckets.count }
  private func turn(_ position: Int) -> Int { position / buckets.count }

  /// Whether the memory for the arrivals of a position is free again.
  private func isFree(_ position: Int, _ known: Progress) -> Bool {
    let before = position - Self.window
    return before < buckets.count || known.rooted.load(bucket(before)) >= turn(before)
  }

  private func postReceives(_ known: Progress) throws {
    let (bucket, memory) = (bucket(receivesPosted), arrivals(at: receivesPosted))
    let count = buckets.piece(bucket, of: communicator.rank).count
    for (arrival, source) in known.plan(turn(receivesPosted)).arrivalSources.enumerated() {
      let tag = Self.sumTag + bucket
      if packs(bucket) {
        let packed = packedArrivals[receivesPosted % Self.window].pointer + arrival * count
        try sumReceives[bucket].receive(packed, count: count, from: source, tag: tag, communicator)
      } else {
        try sumReceives[bucket].receive(
          memory + arrival * count, count: count, from: source, tag: tag, communicator)
      }
    }
    receivesPosted += 1
  }

  /// This group's partial sums of a bucket to the owners that this rank deals with, whose values come back.
  private func postSums(_ known: Progress) throws {
    let bucket = bucket(sumsPosted)
    let plan = known.plan(turn(sumsPosted))
    var packed = packs(bucket) ? packedSums[sumsPosted % Self.window].pointer : nil
    for owner in owners {
      let piece = buckets.piece(bucket, of: owner)
      for result in plan.results where sendsSums {
        bytesSent += piece.count * (packed == nil ? 4 : 2)
        let tag = Self.sumTag + bucket
        if let room = packed, let rounding {
          rounding.pack(room, result + piece.lowerBound, piece.count)
          try sumSends[bucket].send(room, count: piece.count, to: owner, tag: tag, communicator)
          packed = room + piece.count
        } else {
          try sumSends[bucket].send(
            result + piece.lowerBound, count: piece.count, to: owner, tag: tag, communicator)
        }
      }
      if !piece.isEmpty { known.copies(turn(sumsPosted))?.willReplace(piece) }
      try valueReceives[bucket].receive(
        memory.values.pointer + piece.lowerBound, count: piece.count, from: owner,
        tag: Self.valueTag + bucket, communicator)
    }
    sumsPosted += 1
  }

  /// The bucket whose new values go next. Those of the tail at once: they are small, and every rank waits for
  /// them at the end of a step. Others when no sums are on their way.
  private func nextValues(_ known: Progress) -> Int? {
    func isNew(_ bucket: Int) -> Bool { known.updated.load(bucket) > valuesPosted[bucket] }
    if let tail = (0..<buckets.tailCount).first(where: isNew) { return tail }
    guard sumsSent == sumsPosted, valueSendsInFlight.count < 2 else { return nil }
    return (0..<buckets.count).last(where: isNew)
  }

  /// Sums go first, since owners wait for them; values when the way is free, in the order in which forward
  /// needs them.
  private func moveValues(_ known: Progress) throws -> Bool {
    var moved = false
    let place = memory.groups.place(of: communicator.rank)
    for bucket in 0..<buckets.count where valuesReceived[bucket] < turnOfReceives(bucket) {
      guard known.updated.load(bucket) > valuesReceived[bucket],
        try valueReceives[bucket].isDone(communicator)
      else { continue }
      valuesReceived[bucket] += 1
      let copies = known.copies(valuesReceived[bucket])
      for owner in owners {
        let piece = buckets.piece(bucket, of: owner)
        if !piece.isEmpty { copies?.received(piece) }
      }
      memory.settled[place].set(bucket, valuesReceived[bucket])
      moved = true
    }
    while let first = valueSendsInFlight.first, try valueSends[first].isDone(communicator) {
      valueSendsInFlight.removeFirst()
      moved = true
    }
    while let bucket = nextValues(known) {
      let piece = buckets.piece(bucket, of: communicator.rank)
      for deputy in deputies {
        bytesSent += piece.count * 4
        try valueSends[bucket].send(
          memory.values.pointer + piece.lowerBound, count: piece.count, to: deputy,
          tag: Self.valueTag + bucket, communicator)
      }
      valuesPosted[bucket] += 1
      valueSendsInFlight.append(bucket)
      moved = true
    }
    return moved
  }

  /// The turns of a bucket whose new values this rank has asked for.
  private func turnOfReceives(_ bucket: Int) -> Int {
    sumsPosted / buckets.count - (bucket < sumsPosted % buckets.count ? 0 : 1)
  }
}

/// Room for numbers of 16 bits.
private final class UInt16Buffer {
  let count: Int
  let pointer: UnsafeMutablePointer<UInt16>

  init(count: Int) {
    self.count = count
    pointer = .allocate(capacity: max(1, count))
    pointer.initialize(repeating: 0, count: max(1, count))
  }

  deinit { pointer.deallocate() }
}

extension RequestList {
  fileprivate mutating func send(
    _ floats: UnsafeMutablePointer<Float>, count: Int, to rank: Int, tag: Int, _ communicator: Communicator
  ) throws {
    try post(floats, count: count, size: 4, communicator: communicator, "MPI_Isend") {
      cnn_mpi_start_send($0, $1, cnn_mpi_float(), Int32(rank), Int32(tag), communicator.world, $2)
    }
  }

  fileprivate mutating func send(
    _ halves: UnsafeMutablePointer<UInt16>, count: Int, to rank: Int, tag: Int, _ communicator: Communicator
  ) throws {
    try post(halves, count: 2 * count, size: 1, communicator: communicator, "MPI_Isend") {
      cnn_mpi_start_send($0, $1, cnn_mpi_byte(), Int32(rank), Int32(tag), communicator.world, $2)
    }
  }

  fileprivate mutating func receive(
    _ floats: UnsafeMutablePointer<Float>, count: Int, from rank: Int, tag: Int, _ communicator: Communicator
  ) throws {
    try post(floats, count: count, size: 4, communicator: communicator, "MPI_Irecv") {
      cnn_mpi_start_receive($0, $1, cnn_mpi_float(), Int32(rank), Int32(tag), communicator.world, $2)
    }
  }

  fileprivate mutating func receive(
    _ halves: UnsafeMutablePointer<UInt16>, count: Int, from rank: Int, tag: Int, _ communicator: Communicator
  ) throws {
    try post(halves, count: 2 * count, size: 1, communicator: communicator, "MPI_Irecv") {
      cnn_mpi_start_receive($0, $1, cnn_mpi_byte(), Int32(rank), Int32(tag), communicator.world, $2)
    }
  }
}
