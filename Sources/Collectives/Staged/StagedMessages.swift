import CKernels
import COpenMPI
import Tensors

/// The messages of a reducer that adds sums up by stages: those of a round go when the round before has come, new
/// values the same ways back. Main thread only, as `BucketMessages`, whose place it takes.
///
/// What goes to a rank in a round is one message of many pieces, read and written where they lie (MPI's derived
/// types); only sums that arrive have memory of their own, for a few buckets.
final class StagedMessages: ExchangeMessages {
  private let communicator: Communicator
  private let buckets: Buckets
  private let memory: NodeMemory
  private let kernels: UnsafePointer<cnn_reduction_kernels>
  /// The ranks whose values this one gets for its group.
  private let owners: [Int]

  private(set) var bytesSent = 0
  private var ring = FloatBuffer(count: 0)
  private var slot = 0
  private static let window = 4
  private static let sumTag = 16
  private static let valueTag = 16 + 8192

  /// Of a plan's messages: by bucket, round and way.
  private struct Types {
    var sums: [[[IndexedMessage]]]
    var valueSends: [[[IndexedMessage]]]
    var valueReceives: [[[IndexedMessage]]]
    /// By bucket and number of the arrival: where it lies behind the beginning of the bucket's slot.
    var arrivals: [[Int]]
  }
  private var types: [ObjectIdentifier: Types] = [:]

  /// Positions (turn · buckets + bucket): receives posted, and all sums here, in order.
  private var receivesPosted: Int
  private var complete: Int
  /// By bucket, of its turn: rounds of sums that have been sent, that have come; hops of values alike.
  private var roundsSent: [Int]
  private var roundsIn: [Int]
  private var hopsSent: [Int]
  private var hopsIn: [Int]
  /// By bucket: the last turn whose sums are all here, whose values this rank expects, has sent on, and has.
  private var arrivedTurn: [Int]
  private var expectedTurn: [Int]
  private var beganValues: [Int]
  private var valuesPosted: [Int]
  private var valuesReceived: [Int]
  private var sumSends: [RequestList]
  private var valueSends: [RequestList]
  /// By bucket and round, by bucket and hop.
  private var sumReceives: [[RequestList]]
  private var valueReceives: [[RequestList]]

  init(
    _ communicator: Communicator, buckets: Buckets, memory: NodeMemory,
    kernels: UnsafePointer<cnn_reduction_kernels>
  ) {
    (self.communicator, self.buckets, self.memory, self.kernels) = (communicator, buckets, memory, kernels)
    owners = memory.groups.owners(dealingWith: communicator.rank)
    let zeros = Array(repeating: 0, count: buckets.count)
    (roundsSent, roundsIn, hopsSent, hopsIn) = (zeros, zeros, zeros, zeros)
    (arrivedTurn, expectedTurn, beganValues, valuesPosted, valuesReceived) = (
      zeros, zeros, zeros, zeros, zeros
    )
    let none = Array(repeating: RequestList(), count: buckets.count)
    (sumSends, valueSends) = (none, none)
    (sumReceives, valueReceives) = (none.map { _ in [] }, none.map { _ in [] })
    (receivesPosted, complete) = (buckets.count, buckets.count)
  }

  var memoryBytes: Int { ring.count * MemoryLayout<Float>.stride }

  func arrivals(at position: Int) -> UnsafeMutablePointer<Float> {
    ring.pointer + position % Self.window * slot
  }

  func prepare(for plan: ExchangePlan) throws {
    let staged = plan.staged
    func indexed(_ parts: [(UnsafeMutablePointer<Float>, Range<Int>)]) throws -> IndexedMessage {
      try IndexedMessage(parts, communicator)
    }
    let values = memory.values.pointer
    var found = Types(sums: [], valueSends: [], valueReceives: [], arrivals: [])
    for bucket in 0..<buckets.count {
      found.sums.append(
        try staged.rounds.map { round in
          try round.sends.map { way in
            try indexed(
              way.parts.map { part in
                guard case .flat(let buffer) = part.sum else {
                  preconditionFailure("sums that only arrive aren't sent on")
                }
                return (buffer, buckets.piece(bucket, of: part.owner))
              })
          }
        })
      func hop(_ ways: [(peer: Int, owners: [Int])]) throws -> [IndexedMessage] {
        try ways.map { way in try indexed(way.owners.map { (values, buckets.piece(bucket, of: $0)) }) }
      }
      found.valueSends.append(try staged.hops.map { try hop($0.sends) })
      found.valueReceives.append(try staged.hops.map { try hop($0.receives) })
      var end = 0
      found.arrivals.append(
        staged.arrivalOwners.map { owner in
          defer { end += buckets.piece(bucket, of: owner).count }
          return end
        })
      slot = max(slot, end)
    }
    types[ObjectIdentifier(plan)] = found
    if slot * Self.window > ring.count { ring = FloatBuffer(count: slot * Self.window) }
    for bucket in 0..<buckets.count {
      while sumReceives[bucket].count < staged.rounds.count { sumReceives[bucket].append(RequestList()) }
      while valueReceives[bucket].count < staged.hops.count { valueReceives[bucket].append(RequestList()) }
    }
  }

  func progress(_ known: BucketMessages.Progress) throws -> Bool {
    var moved = false
    let end = (known.begun + 1) * buckets.count
    while receivesPosted < end, isFree(receivesPosted, known),
      arrivedTurn[receivesPosted % buckets.count] >= receivesPosted / buckets.count - 1
    {
      try postReceives(known)
      moved = true
    }
    for position in complete..<receivesPosted {
      if try moveSums(position, known) { moved = true }
    }
    while complete < receivesPosted, arrivedTurn[complete % buckets.count] >= complete / buckets.count {
      complete += 1
    }
    for bucket in 0..<buckets.count {
      if !sumSends[bucket].isEmpty, try sumSends[bucket].isDone(communicator) { moved = true }
      if !valueSends[bucket].isEmpty, try valueSends[bucket].isDone(communicator) { moved = true }
      if valuesReceived[bucket] < expectedTurn[bucket], try moveValues(bucket, known) { moved = true }
    }
    while let bucket = nextValues(known) {
      try beginValues(bucket, known)
      moved = true
    }
    return moved
  }

  func isIdle(after turn: Int) -> Bool {
    hasPostedSums(of: turn) && hasPostedValues(0..<buckets.count, of: turn)
      && sumSends.allSatisfy(\.isEmpty) && valueSends.allSatisfy(\.isEmpty)
  }

  /// Others' sums depend on those that come through here: posted is only what has all come.
  func hasPostedSums(of turn: Int) -> Bool { complete >= (turn + 1) * buckets.count }

  func hasPostedValues(_ wanted: Range<Int>, of turn: Int) -> Bool {
    wanted.allSatisfy { valuesPosted[$0] >= turn }
  }

  private func isFree(_ position: Int, _ known: BucketMessages.Progress) -> Bool {
    let before = position - Self.window
    return before < buckets.count || known.rooted.load(before % buckets.count) >= before / buckets.count
  }

  private func types(of plan: ExchangePlan) -> Types {
    guard let types = types[ObjectIdentifier(plan)] else {
      preconditionFailure("a plan expects to be prepared for")
    }
    return types
  }

  private func postReceives(_ known: BucketMessages.Progress) throws {
    let bucket = receivesPosted % buckets.count
    let plan = known.plan(receivesPosted / buckets.count)
    let memory = arrivals(at: receivesPosted)
    let places = types(of: plan).arrivals[bucket]
    var number = 0
    for (round, messages) in plan.staged.rounds.enumerated() {
      for way in messages.receives {
        let count = way.parts.reduce(0) { $0 + buckets.piece(bucket, of: $1.owner).count }
        precondition(count <= Int32.max, "a message of \(count) floats is too long for MPI")
        if count > 0 {
          // In one piece, as it is sent.
          try sumReceives[bucket][round].post(communicator, "MPI_Irecv") {
            cnn_mpi_start_receive(
              memory + places[number], Int32(count), cnn_mpi_float(), Int32(way.peer),
              Int32(Self.sumTag + bucket), communicator.world, $0)
          }
        }
        number += way.parts.count
      }
    }
    (roundsSent[bucket], roundsIn[bucket]) = (0, 0)
    receivesPosted += 1
  }

  /// Takes a bucket's sums as many rounds further as has come.
  private func moveSums(_ position: Int, _ known: BucketMessages.Progress) throws -> Bool {
    let (turn, bucket) = (position / buckets.count, position % buckets.count)
    guard arrivedTurn[bucket] < turn, known.summed.load(bucket) >= turn else { return false }
    let plan = known.plan(turn)
    let rounds = plan.staged.rounds.count
    var moved = false
    if roundsSent[bucket] == 0 {
      try sendSums(bucket, plan)
      try expectValues(bucket, turn, plan, known)
      moved = true
    }
    while roundsIn[bucket] < rounds, try sumReceives[bucket][roundsIn[bucket]].isDone(communicator) {
      let memory = arrivals(at: position)
      let places = types(of: plan).arrivals[bucket]
      let buckets = buckets
      plan.staged.add(
        roundsIn[bucket], pieces: { buckets.piece(bucket, of: $0) },
        arrival: { number in
          memory + places[number] - buckets.piece(bucket, of: plan.staged.arrivalOwners[number]).lowerBound
        }, kernels: kernels)
      roundsIn[bucket] += 1
      if roundsSent[bucket] < rounds { try sendSums(bucket, plan) }
      moved = true
    }
    if roundsIn[bucket] == rounds {
      if case .arrival(let number) = plan.staged.root {
        plan.keepArrivedRoot(
          buckets.piece(bucket, of: communicator.rank),
          arrivals(at: position) + types(of: plan).arrivals[bucket][number])
      }
      arrivedTurn[bucket] = turn
      known.arrived.set(bucket, turn)
    }
    return moved
  }

  private func sendSums(_ bucket: Int, _ plan: ExchangePlan) throws {
    let round = roundsSent[bucket]
    for (way, message) in zip(plan.staged.rounds[round].sends, types(of: plan).sums[bucket][round]) {
      bytesSent += message.bytes
      try message.send(to: way.peer, tag: Self.sumTag + bucket, &sumSends[bucket])
    }
    roundsSent[bucket] += 1
  }

  /// The bucket's backward is over: nobody of this group reads its values any more.
  private func expectValues(
    _ bucket: Int, _ turn: Int, _ plan: ExchangePlan, _ known: BucketMessages.Progress
  ) throws {
    for owner in owners {
      let piece = buckets.piece(bucket, of: owner)
      if !piece.isEmpty { known.copies(turn)?.willReplace(piece) }
    }
    for (hop, messages) in types(of: plan).valueReceives[bucket].enumerated() {
      for (way, message) in zip(plan.staged.hops[hop].receives, messages) {
        try message.receive(from: way.peer, tag: Self.valueTag + bucket, &valueReceives[bucket][hop])
      }
    }
    (hopsSent[bucket], hopsIn[bucket], expectedTurn[bucket]) = (0, 0, turn)
  }

  /// The bucket whose own values go next, by the rule of `BucketMessages`: the tail's at once, others when no sums are
  /// on their way, those that forward needs first, two at a time.
  private func nextValues(_ known: BucketMessages.Progress) -> Int? {
    func isNew(_ bucket: Int) -> Bool { known.updated.load(bucket) > beganValues[bucket] }
    if let tail = (0..<buckets.tailCount).first(where: isNew) { return tail }
    guard sumSends.allSatisfy(\.isEmpty), valueSends.count(where: { !$0.isEmpty }) < 2 else { return nil }
    return (0..<buckets.count).last(where: isNew)
  }

  private func beginValues(_ bucket: Int, _ known: BucketMessages.Progress) throws {
    beganValues[bucket] = expectedTurn[bucket]
    try sendValues(bucket, known)
    _ = try moveValues(bucket, known)
  }

  private func sendValues(_ bucket: Int, _ known: BucketMessages.Progress) throws {
    let plan = known.plan(expectedTurn[bucket])
    let hop = hopsSent[bucket]
    for (way, message) in zip(plan.staged.hops[hop].sends, types(of: plan).valueSends[bucket][hop]) {
      bytesSent += message.bytes
      try message.send(to: way.peer, tag: Self.valueTag + bucket, &valueSends[bucket])
    }
    hopsSent[bucket] += 1
    if hopsSent[bucket] == plan.staged.hops.count { valuesPosted[bucket] = expectedTurn[bucket] }
  }

  /// Takes a bucket's values as many hops further as has come. What comes is handed on at once: others wait.
  private func moveValues(_ bucket: Int, _ known: BucketMessages.Progress) throws -> Bool {
    let turn = expectedTurn[bucket]
    guard known.updated.load(bucket) >= turn else { return false }
    let hops = known.plan(turn).staged.hops.count
    var moved = false
    while hopsIn[bucket] < hops, try valueReceives[bucket][hopsIn[bucket]].isDone(communicator) {
      hopsIn[bucket] += 1
      moved = true
      if beganValues[bucket] < turn, hopsIn[bucket] < hops {
        beganValues[bucket] = turn
        try sendValues(bucket, known)
      }
      while beganValues[bucket] >= turn, hopsSent[bucket] < hops, hopsSent[bucket] <= hopsIn[bucket] {
        try sendValues(bucket, known)
      }
    }
    while beganValues[bucket] >= turn, hopsSent[bucket] < hops, hopsSent[bucket] <= hopsIn[bucket] {
      try sendValues(bucket, known)
      moved = true
    }
    guard hopsIn[bucket] == hops, valuesReceived[bucket] < turn else { return moved }
    valuesReceived[bucket] = turn
    let copies = known.copies(turn)
    for owner in owners {
      let piece = buckets.piece(bucket, of: owner)
      if !piece.isEmpty { copies?.received(piece) }
    }
    memory.settled[memory.groups.place(of: communicator.rank)].set(bucket, turn)
    return true
  }
}
