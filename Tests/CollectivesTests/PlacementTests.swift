import Collectives
import Foundation
import Tensors
import Testing

@Suite struct CoreSharingTests {
  @Test func equalMasksAreCutIntoNeighbours() {
    #expect(CoreSharing.share([[0, 1, 2, 3]]) == [[0, 1, 2, 3]])
    #expect(CoreSharing.share([[0, 1, 2, 3], [3, 2, 1, 0]]) == [[0, 1], [2, 3]])
    #expect(CoreSharing.share(Array(repeating: [4, 5, 6, 7, 8], count: 3)) == [[4], [5, 6], [7, 8]])
  }

  @Test func disjointMasksStayAsTheyAre() {
    #expect(CoreSharing.share([[0], [1], [4, 5]]) == [[0], [1], [4, 5]])
    // Two sockets with two ranks each, in any order of ranks.
    #expect(CoreSharing.share([[0, 1], [2, 3], [0, 1], [2, 3]]) == [[0], [2], [1], [3]])
  }

  @Test func partlyOverlappingMasksGiveTheScarceCoresFirst() {
    #expect(CoreSharing.share([[0], [0, 1, 2]]) == [[0], [1, 2]])
    #expect(CoreSharing.share([[0, 1, 2, 3], [2, 3]]) == [[0, 1], [2, 3]])
    // A chain of overlaps is one group.
    #expect(CoreSharing.share([[0, 1], [1, 2], [2, 3]]) == [[0], [1, 2], [3]])
  }

  @Test func coresAreSharedOnlyWhereThereAreFewerThanRanks() {
    #expect(CoreSharing.share([[0, 1], [0, 1], [0, 1]]) == [[0], [0], [1]])
    #expect(CoreSharing.share([[5], [5]]) == [[5], [5]])
    #expect(CoreSharing.share([[0], [0], [0, 1]]) == [[0], [0], [1]])
    for (cores, ranks) in [(7, 3), (16, 5), (2, 8), (64, 64)] {
      let shares = CoreSharing.share(Array(repeating: Array(0..<cores), count: ranks))
      #expect(Set(shares.joined()).count == min(cores, max(cores, ranks)))
      #expect(shares.allSatisfy { $0.count >= max(1, cores / ranks) })
      if cores >= ranks { #expect(shares.flatMap { $0 } == Array(0..<cores)) }
    }
  }

  @Test func quotasAreSharedInWholeCPUs() {
    #expect(CoreSharing.share(quota: 4, ranks: 2) == [2, 2])
    #expect(CoreSharing.share(quota: 3.5, ranks: 2) == [1, 2])
    #expect(CoreSharing.share(quota: 0.5, ranks: 1) == [1])
    #expect(CoreSharing.share(quota: 2, ranks: 3) == [1, 1, 1])
  }
}

@Suite struct PlacementTests {
  private func report(
    _ cpus: [Int], of available: Int, threadsPerCore: Int = 1, quota: CPUQuota? = nil, lanes: Int? = nil
  ) -> RankReport {
    RankReport(
      host: "node7", cpus: cpus.map { LogicalCPU(id: $0, core: $0 % (available / threadsPerCore)) },
      unboundCores: Array(0..<(available / threadsPerCore)), quota: quota, lanes: lanes)
  }

  private func placement(_ reports: [RankReport], rank: Int = 0, nodes: [Int]? = nil, launched: Bool = true)
    -> Placement
  {
    let nodes = nodes ?? Array(repeating: 0, count: reports.count)
    let places = reports.indices.map { rank in
      Communicator.Place(
        node: nodes[rank], localRank: nodes[..<rank].count { $0 == nodes[rank] },
        localSize: nodes.count { $0 == nodes[rank] })
    }
    return Placement(reports: reports, places: places, rank: rank, launched: launched)
  }

  @Test func oneProcessRunsALaneOnEveryPhysicalCore() {
    let alone = placement([report([0, 1, 2, 3, 4, 5, 6, 7], of: 8, threadsPerCore: 2)])
    #expect(
      alone.own
        == Placement.Row(rank: 0, host: "node7", node: 0, cores: [0, 1, 2, 3], lanes: 4, pinned: true))
    #expect(alone.cpus == [0, 1, 2, 3, 4, 5, 6, 7])
    #expect((0..<4).map { alone.cpu(ofLane: $0) } == [0, 1, 2, 3])
    #expect(alone.warnings.isEmpty)
  }

  @Test func ranksOfANodeShareAndNodesDoNot() {
    let all = Array(0..<6)
    let job = placement(Array(repeating: report(all, of: 6), count: 4), rank: 2, nodes: [0, 1, 0, 0])
    #expect(job.rows.map(\.cores) == [[0, 1], [0, 1, 2, 3, 4, 5], [2, 3], [4, 5]])
    #expect(job.lanes == [2, 6, 2, 2])
    #expect(job.rows.map(\.node) == [0, 1, 0, 0])
    #expect(job.cpu(ofLane: 1) == 3)
    #expect(job.warnings.isEmpty)
  }

  @Test func moreLanesThanCoresAreDoneAndTold() {
    let job = placement([report([0, 1], of: 2, lanes: 5)])
    #expect(job.lanes == [5])
    #expect(job.warnings == ["node7: rank 0 runs 5 lanes on 2 cores"])
    #expect(job.cpu(ofLane: 0) == nil)
    // Fewer lanes leave room for others: the system chooses the core.
    #expect(placement([report([0, 1], of: 2, lanes: 1)]).cpu(ofLane: 0) == nil)
  }

  @Test func ranksBoundToOneCoreAreTold() {
    let bound = placement([report([3], of: 8), report([3], of: 8)])
    #expect(bound.lanes == [1, 1])
    #expect(bound.warnings.count == 1)
    #expect(bound.warnings[0].hasPrefix("node7: 2 ranks share 1 core although 8 are there"))
    #expect(bound.warnings[0].contains("--bind-to none") && bound.warnings[0].contains("--map-by"))
    #expect(bound.cpu(ofLane: 0) == nil)
    let crowded = placement(Array(repeating: report([0, 1], of: 2), count: 3))
    #expect(crowded.warnings == ["node7: 3 ranks share 2 cores: fewer ranks would be as fast"])
    // mpirun's default for two ranks on a large machine: six cores would stay idle.
    let narrow = placement([report([0], of: 8), report([1], of: 8)])
    #expect(narrow.warnings.count == 1)
    #expect(narrow.warnings[0].hasPrefix("node7: the launcher bound its ranks to 2 of 8 cores"))
    // A process that nobody launched was bound on purpose.
    #expect(placement([report([0], of: 8)]).warnings.count == 1)
    #expect(placement([report([0], of: 8)], launched: false).warnings.isEmpty)
  }

  @Test func aTimeLimitIsSharedByTheRanksUnderIt() {
    let quota = CPUQuota(cpus: 4, group: "/job")
    let alone = placement([report(Array(0..<8), of: 8, quota: quota)])
    #expect(alone.lanes == [4])
    let pair = placement(Array(repeating: report(Array(0..<8), of: 8, quota: quota), count: 2))
    #expect(pair.lanes == [2, 2])
    let apart = placement([
      report(Array(0..<8), of: 8, quota: CPUQuota(cpus: 3, group: "/a")),
      report(Array(0..<8), of: 8, quota: CPUQuota(cpus: 2, group: "/b")),
    ])
    #expect(apart.lanes == [3, 2])
    let full = placement([report(Array(0..<8), of: 8, quota: quota, lanes: 8)])
    #expect(full.cpu(ofLane: 0) == nil, "a limit doesn't say which cores, even where all have lanes")
    let told = placement([report(Array(0..<8), of: 8, quota: quota, lanes: 6)])
    #expect(told.warnings == ["node7: rank 0 runs 6 lanes on CPU time for 4"])
  }

  @Test func thisProcessFindsItsCores() throws {
    let communicator = try Communicator.start(environment: [:])
    let before = CPUAffinity.current
    let placement = try Placement.establish(communicator)
    #expect(CPUAffinity.current == before, "asking must not bind")
    #expect(Set(placement.cpus).isSubset(of: before))
    #expect(placement.own.lanes >= 1 && placement.own.lanes <= before.count)
    #expect(!placement.own.host.isEmpty)
    #expect(Set(before).isSubset(of: CPUAffinity.unbound))
    #expect(try Placement.establish(communicator, lanes: 3).lanes == [3])
  }

  @Test func whoDoesNotWantPinningGetsNone() {
    let reports = [report([0, 1], of: 2)]
    let places = [Communicator.Place(node: 0, localRank: 0, localSize: 1)]
    for pin in [true, false] {
      let placement = Placement(reports: reports, places: places, rank: 0, launched: false, pin: pin)
      #expect(placement.cpu(ofLane: 1) == (pin ? 1 : nil))
      #expect(placement.own.pinned == pin)
    }
  }

  /// Each lane on its own core, what lane 0 starts on all of the share, and nothing left behind.
  @Test func lanesKeepToTheirCores() throws {
    let allowed = CPUAffinity.current
    let cores = Array(Set(CPUAffinity.topology(of: allowed).map(\.core)).sorted())
    // Not the real topology: one core for each CPU, so that the share is filled whatever the machine.
    let reports = [
      RankReport(host: "here", cpus: cores.map { LogicalCPU(id: $0, core: $0) }, unboundCores: cores)
    ]
    let places = [Communicator.Place(node: 0, localRank: 0, localSize: 1)]
    let seen = Monitor([Int: [Int]]())
    func lanes(pinned: Bool) throws {
      let placement = Placement(reports: reports, places: places, rank: 0, launched: false, pin: pinned)
      let team = ThreadTeam(count: placement.own.lanes)
      let pinning = LanePinning(placement)
      #expect(pinning.isOn == pinned)
      pinning.bind(team)
      team.run { lane in
        let mine = CPUAffinity.current
        seen.update { $0[lane] = mine }
      }
      for (lane, core) in cores.enumerated() {
        let expected = pinned ? [core] : allowed
        #expect(seen.update { $0[lane] } == expected, "lane \(lane)")
      }
      pinning.startingOthers {
        WorkerThread {
          let mine = CPUAffinity.current
          seen.update { $0[-1] = mine }
        }.join()
      }
      #expect(seen.update { $0[-1] } == (pinned ? cores : allowed))
      #expect(CPUAffinity.current == (pinned ? [cores[0]] : allowed))
      pinning.release()
      #expect(CPUAffinity.current == allowed)
    }
    try lanes(pinned: true)
    try lanes(pinned: false)
  }

  @Test func aThreadCanBeBoundAndFreed() {
    let before = CPUAffinity.current
    #expect(CPUAffinity.bindCallingThread(to: [before[0]]))
    #expect(CPUAffinity.current == [before[0]])
    #expect(CPUAffinity.bindCallingThread(to: before))
    #expect(CPUAffinity.current == before)
    #expect(!CPUAffinity.bindCallingThread(to: []))
  }
}

@Suite struct KernelFilesTests {
  /// Runs `body` with a folder that stands for the root of a file system.
  private func withRoot(_ files: [String: String], _ body: (String) throws -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    for (path, text) in files {
      let file = root.appendingPathComponent(path)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    try body(root.path)
  }

  @Test func listsOfCPUs() {
    #expect(CPUList.parse("0-3,8,10-11\n") == [0, 1, 2, 3, 8, 10, 11])
    #expect(CPUList.parse("") == [])
    for wrong in ["3-1", "a", "1-", "1-2-3", "-1"] { #expect(CPUList.parse(wrong) == nil, "\(wrong)") }
    #expect(CPUList.text([8, 0, 1, 2, 3, 11, 10]) == "0-3,8,10-11")
    #expect(CPUList.text([]) == "")
  }

  @Test func hardwareThreadsOfACore() throws {
    let folder = "sys/devices/system/cpu"
    try withRoot([
      "\(folder)/cpu0/topology/thread_siblings_list": "0,4\n",
      "\(folder)/cpu4/topology/thread_siblings_list": "0,4\n",
      "\(folder)/cpu2/topology/thread_siblings_list": "2-3\n",
    ]) { root in
      #expect(CPUAffinity.topology(of: [0, 2, 4, 9], root: root).map(\.core) == [0, 2, 0, 9])
    }
  }

  @Test func quotasOfVersionTwoHoldForAllBelow() throws {
    try withRoot([
      "proc/self/cgroup": "0::/slurm/job_7/task_0\n", "sys/fs/cgroup/slurm/job_7/cpu.max": "350000 100000\n",
      "sys/fs/cgroup/slurm/job_7/task_0/cpu.max": "max 100000\n",
      "sys/fs/cgroup/slurm/cpu.max": "800000 100000\n",
    ]) { #expect(CPUQuota.current(root: $0) == CPUQuota(cpus: 3.5, group: "/slurm/job_7")) }
    // A container sees its own group as the root.
    try withRoot(["proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"]) {
      #expect(CPUQuota.current(root: $0) == CPUQuota(cpus: 1.5, group: ""))
    }
  }

  @Test func quotasOfVersionOne() throws {
    let membership = "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n"
    for folder in ["cpu,cpuacct", "cpu"] {
      try withRoot([
        "proc/self/cgroup": membership, "sys/fs/cgroup/\(folder)/a/cpu.cfs_quota_us": "200000\n",
        "sys/fs/cgroup/\(folder)/a/cpu.cfs_period_us": "100000\n",
      ]) { #expect(CPUQuota.current(root: $0) == CPUQuota(cpus: 2, group: "/a")) }
    }
    try withRoot([
      "proc/self/cgroup": membership, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
    ]) { #expect(CPUQuota.current(root: $0) == nil) }
    try withRoot([:]) { #expect(CPUQuota.current(root: $0) == nil) }
  }

  @Test func memoryIsWhatTheNodeHasAndWhatGroupsLeave() throws {
    let node = "MemTotal:       24000000 kB\nMemAvailable:    2000 kB\n"
    try withRoot([
      "proc/meminfo": node, "proc/self/cgroup": "0::/job/task\n",
      "sys/fs/cgroup/job/memory.max": "1000000\n", "sys/fs/cgroup/job/memory.current": "700000\n",
      "sys/fs/cgroup/job/memory.stat": "anon 400000\ninactive_file 300000\n",
      "sys/fs/cgroup/job/task/memory.max": "max\n",
    ]) {
      #expect(
        MemoryLimit.current(root: $0) == [
          MemoryLimit(bytes: 2_048_000), MemoryLimit(bytes: 600_000, group: "/job"),
        ])
    }
    try withRoot([
      "proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a\n",
      "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "5000\n",
      "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "6000\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    ]) { #expect(MemoryLimit.current(root: $0) == [MemoryLimit(bytes: 0, group: "/a")]) }
    try withRoot([:]) { #expect(MemoryLimit.current(root: $0) == []) }
  }
}
