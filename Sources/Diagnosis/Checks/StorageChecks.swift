import Foundation

extension CheckGroup {
  /// The file systems of data and runs, as each node sees them.
  static let storage = CheckGroup(
    name: "storage",
    checks: [
      Check("runs") { facts in
        merged(facts) { facts.ranks[$0].runs }.flatMap { group in runs(group.facts, on: group.hosts) }
      },
      Check("data") { facts in
        merged(facts) { facts.ranks[$0].data }.map { group in data(group.facts, on: group.hosts) }
      },
    ])

  private static func runs(_ facts: StorageFacts, on hosts: String) -> [Outcome] {
    if let problem = facts.problem {
      return [
        .failure(
          "\(hosts): \(problem)", fix: "--out FOLDER where rank 0 may write, on a disk with room and locks")
      ]
    }
    let speed = facts.bytesPerSecond ?? 0
    let free = facts.freeBytes ?? 0
    let found =
      "\(hosts): \(facts.path) (\(facts.kind)), \(speedText(speed)) flushed, \(gigabytes(free)) free"
    var outcomes: [Outcome] = []
    if free < 1 << 30 {
      outcomes.append(
        .warning(found, fix: "make room: a checkpoint takes up to four times the weights, three are kept"))
    }
    if facts.kind == "tmpfs" {
      outcomes.append(
        .warning(found, fix: "--out FOLDER on a disk: this one is memory and goes with the node"))
    }
    if speed < 20e6 {
      outcomes.append(
        .warning(found, fix: "--out FOLDER on a faster disk, or a larger checkpoint.every_steps"))
    }
    return outcomes.isEmpty ? [.ok(found)] : outcomes
  }

  private static func data(_ facts: StorageFacts, on hosts: String) -> Outcome {
    if let problem = facts.problem {
      return .failure(
        "\(hosts): \(problem)",
        fix: "--data FOLDER that every node sees, or stage it to each (deploy/README.md)")
    }
    let files = facts.filesPerSecond.map { "\(Int($0)) files/s, " } ?? ""
    let found = "\(hosts): \(facts.path) (\(facts.kind)), \(files)\(speedText(facts.bytesPerSecond ?? 0))"
    guard let rate = facts.filesPerSecond, rate < 200 else { return .ok(found) }
    return .warning(
      found,
      fix: "stage it to the nodes' own disks (deploy/README.md); data.cache_megabytes keeps it after an epoch"
    )
  }

  private static func speedText(_ bytesPerSecond: Double) -> String {
    bytesPerSecond < 1e9
      ? "\(Int(bytesPerSecond / 1e6)) MB/s" : String(format: "%.1f GB/s", bytesPerSecond / 1e9)
  }

  /// Nodes with the same problem or kind together, by the slowest of them.
  private static func merged(
    _ facts: JobFacts, _ storage: (Int) -> StorageFacts?
  ) -> [(facts: StorageFacts, hosts: String)] {
    var groups: [(facts: StorageFacts, hosts: [String])] = []
    for rank in facts.nodeLeaders {
      guard let found = storage(rank) else { continue }
      if let known = groups.firstIndex(where: {
        $0.facts.kind == found.kind && $0.facts.problem == found.problem
      }) {
        groups[known].hosts.append(facts.host(rank))
        if found.bytesPerSecond ?? 0 < groups[known].facts.bytesPerSecond ?? 0 { groups[known].facts = found }
      } else {
        groups.append((found, [facts.host(rank)]))
      }
    }
    return groups.map { group in
      let others = group.hosts.count - 1
      return (group.facts, others == 0 ? group.hosts[0] : "\(group.hosts[0]) and \(others) more")
    }
  }
}
