import Glibc
import Synchronization
import Tensors

// What lanes call: the stages of a turn.
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
    // What is furthest along first: its sums are still in the cache.
    while takeUpdate(lane: lane) || takeRoot() || takeSum() { worked = true }
    if lane == 0, progressMessages() { worked = true }
    return worked
  }

  /// Helps until all lanes of this rank have finished and there is nothing left that can be done now.
  package func helpOut(lane: Int) {
    let turn = begun.load(ordering: .acquiring)
    wait(lane: lane) { memory.finals[place].load(buckets.count - 1) >= turn }
    while poll(lane: lane) {}
  }

  func isSettled(_ wanted: Range<Int>, _ turn: Int) -> Bool {
    memory.settled.allSatisfy { settled in wanted.allSatisfy { settled.load($0) >= turn } }
  }

  /// Waits for a condition and does meanwhile what there is to do; returns early where something failed.
  package func wait(lane: Int, until condition: () -> Bool) {
    var patience = Patience()
    while !condition(), !failed.load(ordering: .relaxed) {
      if poll(lane: lane) {
        patience = Patience()
      } else if !patience.yields() {
        usleep(50)
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

  private func takeUpdate(lane: Int) -> Bool {
    let position = updating.load(ordering: .acquiring)
    let (turn, bucket) = split(position)
    guard rooted.load(bucket) >= turn,
      !options.updatesTogether || released.load(ordering: .acquiring) >= turn, claim(updating, position)
    else { return false }
    let piece = buckets.piece(bucket, of: communicator.rank)
    let now = self.turn(turn)
    if !piece.isEmpty { now.update(piece, sums(of: now.plan), lane) }
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
          updated: updated, plan: { self.turn($0).plan },
          copies: { self.turn($0).copies }))
    } catch {
      fail(error)
      return false
    }
  }
}
