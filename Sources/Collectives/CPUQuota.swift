/// A limit on CPU time that a container or a job manager has set through control groups.
package struct CPUQuota: Hashable, Sendable {
  /// CPUs' worth of time: 1.5 is three halves of a core.
  package let cpus: Double
  /// The control group that sets the limit: processes in it share it.
  package let group: String

  package init(cpus: Double, group: String) {
    (self.cpus, self.group) = (cpus, group)
  }

  /// The tightest limit on this process, from files under `root`; nil where there is none.
  package static func current(root: String = "") -> CPUQuota? {
    ControlGroups.limiting("cpu", root: root).compactMap { group in
      group.isVersion2
        ? version2(kernelText("\(group.folder)/cpu.max"), group.name)
        : version1(
          quota: kernelText("\(group.folder)/cpu.cfs_quota_us"),
          period: kernelText("\(group.folder)/cpu.cfs_period_us"), group.name)
    }.min { $0.cpus < $1.cpus }
  }

  /// `200000 100000`, or `max 100000`.
  private static func version2(_ text: String?, _ group: String) -> CPUQuota? {
    let words = (text ?? "").split(whereSeparator: \.isWhitespace).map { Double($0) }
    guard words.count == 2, let quota = words[0], let period = words[1], quota > 0, period > 0 else {
      return nil
    }
    return CPUQuota(cpus: quota / period, group: group)
  }

  /// −1 is no limit.
  private static func version1(quota: String?, period: String?, _ group: String) -> CPUQuota? {
    func number(_ text: String?) -> Double? { text.flatMap { Double($0.filter { !$0.isWhitespace }) } }
    guard let quota = number(quota), let period = number(period), quota > 0, period > 0 else { return nil }
    return CPUQuota(cpus: quota / period, group: group)
  }
}
