import Glibc

/// What a rank tells the others about where it may run.
package struct RankReport: Hashable, Sendable {
  package var host: String
  /// The CPUs that it may run on.
  package var cpus: [LogicalCPU]
  /// The cores that it could run on, had its launcher not bound it.
  package var unboundCores: [Int]
  package var quota: CPUQuota?
  /// The lanes that the user wants in it; nil for one a core.
  package var lanes: Int?

  package init(
    host: String, cpus: [LogicalCPU], unboundCores: [Int], quota: CPUQuota? = nil, lanes: Int? = nil
  ) {
    precondition(!cpus.isEmpty, "a rank expects a CPU that it may run on")
    precondition(lanes.map { $0 > 0 } ?? true, "a rank expects at least one lane, got \(lanes ?? 0)")
    (self.host, self.cpus, self.unboundCores, self.quota, self.lanes) = (
      host, cpus, unboundCores, quota, lanes
    )
  }

  package static func ofThisProcess(lanes: Int?) -> RankReport {
    RankReport(
      host: hostName, cpus: CPUAffinity.topology(of: CPUAffinity.current),
      unboundCores: Set(CPUAffinity.topology(of: CPUAffinity.unbound).map(\.core)).sorted(),
      quota: CPUQuota.current(), lanes: lanes)
  }

  private static var hostName: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { name in
      guard let start = name.baseAddress, gethostname(start, 255) == 0 else { return "localhost" }
      start[255] = 0
      return String(cString: start)
    }
  }

  package var encoded: [UInt8] {
    TextList.encoded([
      host, cpus.map { "\($0.id)" }.joined(separator: " "), cpus.map { "\($0.core)" }.joined(separator: " "),
      CPUList.text(unboundCores), quota.map { "\($0.cpus)" } ?? "", quota?.group ?? "",
      lanes.map { "\($0)" } ?? "",
    ])
  }

  package init(decoding bytes: [UInt8]) {
    let texts = TextList.decoded(bytes)
    precondition(texts.count == 7, "a rank's report expects 7 texts, got \(texts)")
    func numbers(_ text: String) -> [Int] { text.split(separator: " ").compactMap { Int($0) } }
    self.init(
      host: texts[0], cpus: zip(numbers(texts[1]), numbers(texts[2])).map { LogicalCPU(id: $0, core: $1) },
      unboundCores: CPUList.parse(texts[3]) ?? [],
      quota: Double(texts[4]).map { CPUQuota(cpus: $0, group: texts[5]) }, lanes: Int(texts[6]))
  }
}
