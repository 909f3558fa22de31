import COpenMPI
import Synchronization

/// Where a record of each microbatch of a step becomes one record of them all, in the order of the reduction
/// tree, and everyone gets it: what all lanes of all ranks must know before any of them can go on.
///
/// In a meeting every lane brings the records of its microbatches. Lane 0, which speaks MPI, adds them up to
/// the maximal nodes of the rank's run, gets those of the other ranks by one all-gather, and adds all up to
/// the root. Each rank does that last part by itself: records are small, a second message would take longer.
/// Every lane with microbatches attends each meeting, and every rank's lane 0 even without any.
package final class TreeMeeting: @unchecked Sendable {
  /// target = what target and source, its right neighbour in the tree, are together.
  package typealias Merge = (_ source: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>) -> Void

  /// Who brings what in the steps of a division.
  package final class Plan {
    fileprivate let run: Range<Int>
    fileprivate let laneRuns: [Range<Int>]
    /// Lanes of this rank that bring records.
    fileprivate let speakers: Int
    fileprivate let local: MergePlan
    /// By rank: how many nodes it hands on, and how many come before them.
    fileprivate let nodeCounts: [Int]
    fileprivate let firstNodes: [Int]
    /// All ranks' nodes in leaf order: where each lies among what was gathered.
    fileprivate let places: [Int]
    fileprivate let whole: MergePlan

    fileprivate init(_ division: WorkDivision, rank: Int) {
      run = division.rankRuns[rank]
      laneRuns = division.laneRuns[rank]
      speakers = laneRuns.count { !$0.isEmpty }
      local = MergePlan(tree: division.tree, partials: run.map { $0..<($0 + 1) })
      let nodes = division.rankNodes
      nodeCounts = nodes.map(\.count)
      firstNodes = nodes.indices.map { rank in nodes[..<rank].reduce(0) { $0 + $1.count } }
      let all = nodes.joined().enumerated().sorted { $0.element.lowerBound < $1.element.lowerBound }
      places = all.map(\.offset)
      whole = MergePlan(tree: division.tree, partials: all.map(\.element))
    }
  }

  private let communicator: Communicator
  private let most: Int
  /// Leaves of this rank's run, then the nodes that it hands on. Free for the next meeting as soon as one is
  /// over, while the root is read until all lanes have arrived at the next.
  private let leaves: UnsafeMutablePointer<Double>
  private let gathered: UnsafeMutablePointer<Double>
  private let root: UnsafeMutablePointer<Double>
  private let counts: UnsafeMutablePointer<Int32>
  private let displacements: UnsafeMutablePointer<Int32>
  private var plan: Plan?
  /// Lanes that brought their records to the meeting that is on.
  private let arrived = Atomic<Int>(0)
  /// Meetings since the beginning.
  private let over = Atomic<Int>(0)

  /// Room for records of at most `recordCount` doubles of at most `microbatches` microbatches.
  package init(_ communicator: Communicator, recordCount: Int, microbatches: Int) {
    self.communicator = communicator
    most = recordCount
    memoryBytes = (2 * microbatches + 1) * recordCount * MemoryLayout<Double>.stride
    leaves = .allocate(capacity: recordCount * microbatches)
    gathered = .allocate(capacity: recordCount * microbatches)
    root = .allocate(capacity: recordCount)
    counts = .allocate(capacity: communicator.size)
    displacements = .allocate(capacity: communicator.size)
    leaves.initialize(repeating: 0, count: recordCount * microbatches)
    gathered.initialize(repeating: 0, count: recordCount * microbatches)
    counts.initialize(repeating: 0, count: communicator.size)
    displacements.initialize(repeating: 0, count: communicator.size)
    root.initialize(repeating: 0, count: recordCount)
    precondition(
      recordCount * microbatches <= Int(Int32.max), "the records of a step expect to fit a message")
  }

  deinit {
    for memory in [leaves, gathered, root] { memory.deallocate() }
    for memory in [counts, displacements] { memory.deallocate() }
  }

  /// Room for records.
  package let memoryBytes: Int

  /// Made once for each division.
  package func plan(for division: WorkDivision) -> Plan { Plan(division, rank: communicator.rank) }

  /// The next meetings are of this plan. Main thread, while no lane runs.
  package func begin(_ plan: Plan) { self.plan = plan }

  /// Whether a lane has to attend.
  package static func attends(lane: Int, with microbatches: Int) -> Bool { lane == 0 || microbatches > 0 }

  /// Overwrites this lane's records, `count` doubles each and in the order of its microbatches, with the root.
  /// Collective over all who attend. `wait` returns when its condition holds, or when there is no more hope.
  package func meet(
    lane: Int, records: UnsafeBufferPointer<UnsafeMutablePointer<Double>>, count: Int,
    wait: (() -> Bool) -> Void, merge: Merge
  ) throws {
    guard let plan, count <= most else { preconditionFailure("a meeting expects a plan, and room") }
    let run = plan.laneRuns[lane]
    precondition(
      records.count == run.count, "lane \(lane) expects \(run.count) records, got \(records.count)")
    let number = over.load(ordering: .acquiring) + 1
    for (leaf, record) in zip(run, records) {
      (leaves + (leaf - plan.run.lowerBound) * count).update(from: record, count: count)
    }
    if !run.isEmpty { arrived.wrappingAdd(1, ordering: .acquiringAndReleasing) }
    if lane == 0 {
      wait { arrived.load(ordering: .acquiring) == plan.speakers }
      try addUp(plan, count, wait, merge)
      arrived.store(0, ordering: .relaxed)
      over.store(number, ordering: .releasing)
    } else {
      wait { over.load(ordering: .acquiring) >= number }
    }
    for record in records { record.update(from: root, count: count) }
  }

  private func addUp(_ plan: Plan, _ count: Int, _ wait: (() -> Bool) -> Void, _ merge: Merge) throws {
    for addition in plan.local.additions {
      merge(leaves + addition.source * count, leaves + addition.target * count)
    }
    guard communicator.usesMPI else {
      root.update(from: leaves, count: count)
      return
    }
    // Side by side; a result lies at or behind its new place.
    for (place, result) in plan.local.results.enumerated() where result.partial != place {
      (leaves + place * count).update(from: leaves + result.partial * count, count: count)
    }
    for rank in 0..<communicator.size {
      counts[rank] = Int32(plan.nodeCounts[rank] * count)
      displacements[rank] = Int32(plan.firstNodes[rank] * count)
    }
    var request = cnn_mpi_request()
    try communicator.check(
      cnn_mpi_start_all_gather(
        leaves, counts[communicator.rank], gathered, counts, displacements, cnn_mpi_double(),
        communicator.meetings, &request), "MPI_Iallgatherv")
    var code: Int32 = 0
    wait {
      var done: Int32 = 0
      code = cnn_mpi_test_all(1, &request, &done)
      return code != 0 || done != 0
    }
    try communicator.check(code, "MPI_Testall")
    for addition in plan.whole.additions {
      merge(
        gathered + plan.places[addition.source] * count, gathered + plan.places[addition.target] * count)
    }
    root.update(from: gathered + plan.places[0] * count, count: count)
  }
}
