import Tensors
import Testing

@Suite struct ThreadTests {
  /// Values go round in a ring and grow by one a round: each member runs each order once, and sees what
  /// its neighbour wrote in the order before.
  @Test(arguments: [1, 2, 5])
  func aTeamRunsEveryOrderOnEveryMemberOnce(count: Int) {
    let team = ThreadTeam(count: count)
    let here = FloatBuffer((0..<count).map(Float.init))
    let next = FloatBuffer(count: count)
    let rounds = 2000
    for _ in 0..<rounds {
      team.run { member in next[member] = here[(member + count - 1) % count] + 1 }
      team.run { member in here[member] = next[member] }
    }
    #expect(here.values == (0..<count).map { Float(($0 + rounds * (count - 1)) % count + rounds) })
  }

  @Test func teamsComeAndGo() {
    let calls = Monitor(0)
    for _ in 0..<200 {
      let team = ThreadTeam(count: 3)
      team.run { _ in calls.update { $0 += 1 } }
    }
    #expect(calls.update { $0 } == 600)
  }

  /// Producers and consumers over a queue of four places: nothing is lost, nothing comes twice.
  @Test func aMonitorHandsEverythingOver() {
    struct Queue {
      var waiting: [Int] = []
      var taken: [Int] = []
    }
    let (producers, consumers, each) = (3, 2, 2000)
    let total = producers * each
    let queue = Monitor(Queue())
    let team = (0..<producers).map { producer in
      WorkerThread {
        for item in 0..<each {
          queue.wait(until: { $0.waiting.count < 4 }) { $0.waiting.append(producer * each + item) }
        }
      }
    }
    let takers = (0..<consumers).map { _ in
      WorkerThread {
        while queue.wait(
          until: { !$0.waiting.isEmpty || $0.taken.count == total },
          then: { queue -> Bool in
            guard !queue.waiting.isEmpty else { return false }
            queue.taken.append(queue.waiting.removeFirst())
            return true
          })
        {}
      }
    }
    for thread in team + takers { thread.join() }
    let taken = queue.update { $0.taken }
    #expect(taken.sorted() == Array(0..<total))
    for producer in 0..<producers {
      let own = taken.filter { $0 / each == producer }
      #expect(own == own.sorted(), "a producer's items changed their order")
    }
  }

  @Test func aThrownErrorUnlocksTheMonitor() {
    let monitor = Monitor(1)
    #expect(throws: FileError.self) {
      try monitor.update { _ in throw FileError(path: "a", problem: "b") }
    }
    #expect(monitor.update { $0 } == 1)
  }

  /// Threads that compute flush denormals: 2⁻¹²⁶ · ½ is 0 there.
  @Test func computingThreadsFlushDenormals() {
    let values = FloatBuffer([.leastNormalMagnitude, 0.5, 1])
    WorkerThread { values[2] = values[0] * values[1] }.join()
    #expect(values[2] == 0)
  }
}
