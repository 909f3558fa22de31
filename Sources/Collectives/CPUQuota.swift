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
    guard let membership = kernelText("\(root)/proc/self/cgroup") else { return nil }
    var limits: [CPUQuota] = []
    for line in membership.split(separator: "\n") {
      // hierarchy:controllers:path
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map {
        String($0)
      }
      guard fields.count == 3 else { continue }
      if fields[1].isEmpty {
        for group in ancestors(fields[2]) {
          limits += version2(kernelText("\(root)/sys/fs/cgroup\(group)/cpu.max"), group)
        }
      } else if fields[1].split(separator: ",").contains("cpu") {
        for group in ancestors(fields[2]) {
          let folder = "\(root)/sys/fs/cgroup/\(fields[1])\(group)"
          let plain = "\(root)/sys/fs/cgroup/cpu\(group)"
          for folder in fields[1] == "cpu" ? [folder] : [folder, plain] {
            limits += version1(
              quota: kernelText("\(folder)/cpu.cfs_quota_us"),
              period: kernelText("\(folder)/cpu.cfs_period_us"), group)
          }
        }
      }
    }
    return limits.min { $0.cpus < $1.cpus }
  }

  /// `/a/b`, `/a`, `` (the root): a limit on any of them holds. A container often sees its own group as
  /// the root although the membership names another path.
  private static func ancestors(_ group: String) -> [String] {
    let parts = group.split(separator: "/")
    return (0...parts.count).reversed().map { count in parts.prefix(count).map { "/\($0)" }.joined() }
  }

  /// `200000 100000`, or `max 100000`.
  private static func version2(_ text: String?, _ group: String) -> [CPUQuota] {
    let words = (text ?? "").split(whereSeparator: \.isWhitespace).map { Double($0) }
    guard words.count == 2, let quota = words[0], let period = words[1], quota > 0, period > 0 else {
      return []
    }
    return [CPUQuota(cpus: quota / period, group: group)]
  }

  /// −1 is no limit.
  private static func version1(quota: String?, period: String?, _ group: String) -> [CPUQuota] {
    func number(_ text: String?) -> Double? { text.flatMap { Double($0.filter { !$0.isWhitespace }) } }
    guard let quota = number(quota), let period = number(period), quota > 0, period > 0 else { return [] }
    return [CPUQuota(cpus: quota / period, group: group)]
  }
}
