import Collectives
import Testing

@Suite struct ExchangeScheduleTests {
  /// Groups' equal shares of so many microbatches, as work is divided.
  private func schedule(_ groups: Int, _ microbatches: Int, fanIn: Int) -> ExchangeSchedule {
    let division = WorkDivision(
      microbatches: microbatches, lanes: Array(repeating: 1, count: groups), order: Array(0..<groups))
    return ExchangeSchedule(tree: division.tree, runs: division.rankRuns, fanIn: fanIn)
  }

  /// `((0+1)+(2+3))`: which additions made a node's sum, in which order.
  private func expression(_ tree: ReductionTree, _ node: Range<Int>) -> String {
    guard let (left, right) = tree.children(of: node) else { return "\(node.lowerBound)" }
    return "(" + expression(tree, left) + "+" + expression(tree, right) + ")"
  }

  /// Adds what a group has of an owner's piece, wherever two nodes are siblings.
  private func merge(_ sums: inout [Range<Int>: String], _ tree: ReductionTree) {
    var merged = true
    while merged {
      merged = false
      for left in sums.keys.sorted(by: { $0.lowerBound < $1.lowerBound }) {
        guard
          let right = sums.keys.first(where: {
            $0.lowerBound == left.upperBound && tree.areSiblings(left, $0)
          }),
          let a = sums[left], let b = sums[right]
        else { continue }
        (sums[left], sums[right]) = (nil, nil)
        sums[left.lowerBound..<right.upperBound] = "(\(a)+\(b))"
        merged = true
        break
      }
    }
  }

  private static let cases = [
    (1, 1), (2, 2), (2, 3), (3, 3), (3, 8), (4, 4), (5, 7), (6, 13), (8, 8), (9, 40), (4, 3), (7, 2), (3, 1),
  ]

  @Test(arguments: cases, [0, 2, 4, 8])
  func ownersGetTheTreesSums(_ job: (groups: Int, microbatches: Int), _ fanIn: Int) {
    let (groups, microbatches) = job
    let schedule = schedule(groups, microbatches, fanIn: fanIn)
    let rounds = (0..<groups).map(schedule.messages(of:))
    // By group and owner: the nodes whose sums it has of that owner's piece.
    var sums = (0..<groups).map { group in
      Array(
        repeating: Dictionary(
          uniqueKeysWithValues: schedule.nodes(of: group).map { ($0, expression(schedule.tree, $0)) }),
        count: groups)
    }
    for round in 0..<schedule.rounds {
      var sent: [(group: Int, owner: Int, node: Range<Int>, sum: String)] = []
      for group in 0..<groups {
        for message in rounds[group][round].sends {
          for owner in message.owners {
            for node in message.nodes {
              guard let sum = sums[group][owner].removeValue(forKey: node) else {
                Issue.record("group \(group) of \(groups) has no sum of \(node) to send to \(message.peer)")
                return
              }
              sent.append((message.peer, owner, node, sum))
            }
          }
        }
      }
      for part in sent { sums[part.group][part.owner][part.node] = part.sum }
      for group in 0..<groups {
        for owner in 0..<groups { merge(&sums[group][owner], schedule.tree) }
      }
    }
    for owner in 0..<groups {
      #expect(sums[owner][owner] == [schedule.tree.root: expression(schedule.tree, schedule.tree.root)])
      for group in 0..<groups where group != owner { #expect(sums[group][owner].isEmpty) }
    }
  }

  @Test(arguments: cases, [0, 2, 4])
  func everyMessageHasTwoEnds(_ job: (groups: Int, microbatches: Int), _ fanIn: Int) {
    let schedule = schedule(job.groups, job.microbatches, fanIn: fanIn)
    let rounds = (0..<job.groups).map(schedule.messages(of:))
    for round in 0..<schedule.rounds {
      for group in 0..<job.groups {
        for message in rounds[group][round].sends {
          #expect(
            rounds[message.peer][round].receives.contains {
              $0.peer == group && $0.owners == message.owners && $0.nodes == message.nodes
            })
        }
        #expect(
          rounds[group][round].receives.count
            == (0..<job.groups).reduce(0) { $0 + rounds[$1][round].sends.count { $0.peer == group } })
      }
    }
  }

  /// New values go the ways of the sums backwards, the last round first.
  @Test(arguments: cases, [0, 2, 4])
  func valuesReachEverybody(_ job: (groups: Int, microbatches: Int), _ fanIn: Int) {
    let schedule = schedule(job.groups, job.microbatches, fanIn: fanIn)
    let rounds = (0..<job.groups).map(schedule.messages(of:))
    var known = (0..<job.groups).map { Set([$0]) }
    for round in (0..<schedule.rounds).reversed() {
      let before = known
      for group in 0..<job.groups {
        for message in rounds[group][round].receives {
          #expect(before[group].isSuperset(of: message.owners))
          known[message.peer].formUnion(message.owners)
        }
      }
    }
    // Who has nothing to add has nobody to hear from.
    for group in 0..<job.groups where !schedule.nodes(of: group).isEmpty {
      #expect(known[group].count == job.groups)
    }
  }

  @Test func halvingSendsLogarithmicallyManyMessagesAndNoMoreBytes() {
    for groups in [2, 4, 16, 64, 256] {
      let schedule = schedule(groups, 2 * groups, fanIn: 2)
      for group in [0, groups / 2, groups - 1] {
        let sends = schedule.messages(of: group).flatMap(\.sends)
        #expect(sends.count == groups.trailingZeroBitCount)
        #expect(sends.reduce(0) { $0 + $1.owners.count * $1.nodes.count } == groups - 1)
        #expect(
          schedule.messages(of: group).map { $0.sends.first?.owners.count }
            == (0..<groups.trailingZeroBitCount).map { groups >> ($0 + 1) })
      }
    }
  }

  @Test func oneStageSendsEachOwnerItsPart() {
    let schedule = schedule(6, 13, fanIn: 0)
    #expect(schedule.rounds == 1)
    for group in 0..<6 {
      let sends = schedule.messages(of: group)[0].sends
      #expect(sends.map(\.peer) == (1..<6).map { (group + $0) % 6 })
      #expect(sends.allSatisfy { $0.owners == [$0.peer] && $0.nodes == schedule.nodes(of: group) })
    }
  }

  @Test func aWiderFanTakesFewerRounds() {
    #expect(schedule(256, 256, fanIn: 2).rounds == 8)
    #expect(schedule(256, 256, fanIn: 4).rounds == 4)
    #expect(schedule(256, 256, fanIn: 16).rounds == 2)
    #expect(schedule(256, 256, fanIn: 16).messages(of: 3).map(\.sends.count) == [15, 15])
  }
}
