import CKernels
import Tensors

/// One rank's part in summing a step's gradients by stages (`ExchangeSchedule`): for each round what it sends, what
/// arrives and which additions follow, and for each hop of new values who gets which pieces.
///
/// Sums stay where the lanes left them: what arrives is added to the group's own partial sums, in place, each owner's
/// piece in the buffers of the group's member that deals with this owner.
final class StagedPlan {
  /// A sum in a flat buffer, or one that has arrived.
  enum Operand: Equatable {
    case flat(UnsafeMutablePointer<Float>)
    /// By its number among all that arrives in a step.
    case arrival(Int)
  }

  struct Part {
    let owner: Int
    let sum: Operand
  }

  /// What goes to or comes from another rank, in one message.
  struct Way {
    let peer: Int
    let parts: [Part]
  }

  struct Addition {
    let owner: Int
    let target: Operand
    let source: Operand
    /// What the target holds then.
    let node: Range<Int>
  }

  struct Round {
    var sends: [Way] = []
    var receives: [Way] = []
    var additions: [Addition] = []
  }

  /// New values: whose pieces go to whom.
  struct Hop {
    var sends: [(peer: Int, owners: [Int])] = []
    var receives: [(peer: Int, owners: [Int])] = []
  }

  let rounds: [Round]
  let hops: [Hop]
  /// By number of the arrival.
  let arrivalOwners: [Int]
  /// The root's sum of this rank's own pieces.
  let root: Operand

  /// - Parameter results: the maximal nodes of this rank's group, as they are when the group has added up its own.
  init(
    _ schedule: ExchangeSchedule, groups: RankGroups, rank: Int,
    results: [(node: Range<Int>, sum: UnsafeMutablePointer<Float>)]
  ) {
    let own = groups.group(of: rank)
    /// Who of a group deals with an owner.
    func handler(_ owner: Int, _ group: Int) -> Int {
      groups.group(of: owner) == group ? owner : groups.deputy(for: owner, in: group)
    }
    func handled(_ message: ExchangeSchedule.Message) -> [Int] {
      message.owners.flatMap { groups.members[$0] }.filter { handler($0, own) == rank }
    }
    var sums: [Int: [(node: Range<Int>, sum: Operand)]] = [:]
    for owner in [rank] + groups.owners(dealingWith: rank) {
      sums[owner] = results.map { ($0.node, .flat($0.sum)) }
    }
    let messages = schedule.messages(of: own)
    var rounds: [Round] = []
    var arrivalOwners: [Int] = []
    for messages in messages {
      var round = Round()
      var sends = OrderedParts()
      for message in messages.sends {
        for owner in handled(message) {
          for node in message.nodes {
            guard let place = sums[owner]?.firstIndex(where: { $0.node == node }),
              let sum = sums[owner]?.remove(at: place).sum
            else { preconditionFailure("rank \(rank) has no sum of \(node) for rank \(owner)") }
            sends.add(Part(owner: owner, sum: sum), peer: handler(owner, message.peer))
          }
        }
      }
      round.sends = sends.ways
      // By peer first: what comes in one message lies side by side.
      var coming: [(peer: Int, owner: Int, node: Range<Int>)] = []
      for message in messages.receives {
        for owner in handled(message) {
          for node in message.nodes { coming.append((handler(owner, message.peer), owner, node)) }
        }
      }
      var receives = OrderedParts()
      for peer in coming.map(\.peer).uniqued() {
        for part in coming where part.peer == peer {
          let sum = Operand.arrival(arrivalOwners.count)
          arrivalOwners.append(part.owner)
          receives.add(Part(owner: part.owner, sum: sum), peer: peer)
          sums[part.owner, default: []].append((part.node, sum))
        }
      }
      round.receives = receives.ways
      for owner in coming.map(\.owner).uniqued() {
        round.additions += Self.merge(&sums[owner, default: []], schedule.tree, owner: owner)
      }
      rounds.append(round)
    }
    let left = sums[rank] ?? []
    precondition(
      left.map(\.node) == [schedule.tree.root] && sums.allSatisfy { $0.key == rank || $0.value.isEmpty },
      "the sums of \(groups.members) don't add up to \(schedule.tree)")
    root = left[0].sum
    self.rounds = rounds
    self.arrivalOwners = arrivalOwners
    hops = Self.hops(messages, schedule, groups, rank: rank, handler: handler, handled: handled)
  }

  /// Adds siblings as long as there are any; a sum in a flat buffer takes what has arrived.
  private static func merge(
    _ sums: inout [(node: Range<Int>, sum: Operand)], _ tree: ReductionTree, owner: Int
  )
    -> [Addition]
  {
    var additions: [Addition] = []
    var stack: [(node: Range<Int>, sum: Operand)] = []
    for sum in sums.sorted(by: { $0.node.lowerBound < $1.node.lowerBound }) {
      stack.append(sum)
      while stack.count > 1, tree.areSiblings(stack[stack.count - 2].node, stack[stack.count - 1].node) {
        let right = stack.removeLast()
        let left = stack.removeLast()
        let node = left.node.lowerBound..<right.node.upperBound
        // a + b and b + a have the same bits.
        var (target, source) = (left.sum, right.sum)
        if case .arrival = target, case .flat = source { (target, source) = (source, target) }
        additions.append(Addition(owner: owner, target: target, source: source, node: node))
        stack.append((node, target))
      }
    }
    sums = stack
    return additions
  }

  /// The ways of the sums backwards, the last round first; and from each owner to groups without microbatches, which
  /// have nothing to send.
  private static func hops(
    _ messages: [ExchangeSchedule.Round], _ schedule: ExchangeSchedule, _ groups: RankGroups, rank: Int,
    handler: (Int, Int) -> Int, handled: (ExchangeSchedule.Message) -> [Int]
  ) -> [Hop] {
    func ways(_ messages: [ExchangeSchedule.Message]) -> [(peer: Int, owners: [Int])] {
      var ways: [(peer: Int, owners: [Int])] = []
      for message in messages {
        for owner in handled(message) {
          let peer = handler(owner, message.peer)
          if let place = ways.firstIndex(where: { $0.peer == peer }) {
            if !ways[place].owners.contains(owner) { ways[place].owners.append(owner) }
          } else {
            ways.append((peer, [owner]))
          }
        }
      }
      return ways
    }
    var hops = messages.reversed().map { Hop(sends: ways($0.receives), receives: ways($0.sends)) }
    let own = groups.group(of: rank)
    let idle = groups.members.indices.filter { schedule.nodes(of: $0).isEmpty }
    for group in idle where group != own {
      hops[0].sends.append((groups.deputy(for: rank, in: group), [rank]))
    }
    if idle.contains(own) {
      hops[0].receives += groups.owners(dealingWith: rank).map { ($0, [$0]) }
    }
    return hops
  }

  /// Does a round's additions in a bucket; `arrival` says where what has arrived lies, an element at its own place of
  /// the flat buffer.
  func add(
    _ round: Int, pieces: (_ owner: Int) -> Range<Int>, arrival: (Int) -> UnsafeMutablePointer<Float>,
    kernels: UnsafePointer<cnn_reduction_kernels>
  ) {
    func start(_ operand: Operand) -> UnsafeMutablePointer<Float> {
      switch operand {
      case .flat(let buffer): buffer
      case .arrival(let number): arrival(number)
      }
    }
    for addition in rounds[round].additions {
      let piece = pieces(addition.owner)
      kernels.pointee.add(
        start(addition.target) + piece.lowerBound, start(addition.source) + piece.lowerBound, piece.count)
    }
  }

  /// Bytes that this rank sends of sums and of values.
  func bytesSent(_ buckets: Buckets) -> Int {
    let owners =
      rounds.flatMap { $0.sends.flatMap { $0.parts.map(\.owner) } }
      + hops.flatMap { $0.sends.flatMap(\.owners) }
    return owners.reduce(0) { sum, owner in
      sum + (0..<buckets.count).reduce(0) { $0 + buckets.piece($1, of: owner).count } * 4
    }
  }
}

/// Parts by the rank at the other end, in the order in which ranks come up.
private struct OrderedParts {
  private var peers: [Int] = []
  private var parts: [Int: [StagedPlan.Part]] = [:]

  mutating func add(_ part: StagedPlan.Part, peer: Int) {
    if parts[peer] == nil { peers.append(peer) }
    parts[peer, default: []].append(part)
  }

  var ways: [StagedPlan.Way] { peers.map { StagedPlan.Way(peer: $0, parts: parts[$0] ?? []) } }
}

extension Sequence where Element: Hashable {
  /// Each element once, where it first comes up.
  fileprivate func uniqued() -> [Element] {
    var seen = Set<Element>()
    return filter { seen.insert($0).inserted }
  }
}
