/// The control groups that a container or a job manager has put this process into.
enum ControlGroups {
  struct Group {
    /// The group's path: processes in it share its limits.
    let name: String
    /// Where its limits are told.
    let folder: String
    let isVersion2: Bool
  }

  /// The groups whose limits on `controller` hold for this process, from files under `root`.
  static func limiting(_ controller: String, root: String) -> [Group] {
    guard let membership = kernelText("\(root)/proc/self/cgroup") else { return [] }
    let groups = "\(root)/sys/fs/cgroup"
    return membership.split(separator: "\n").flatMap { line -> [Group] in
      // hierarchy:controllers:path
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        .map { String($0) }
      guard fields.count == 3 else { return [] }
      if fields[1].isEmpty {
        return ancestors(fields[2]).map { Group(name: $0, folder: groups + $0, isVersion2: true) }
      }
      guard fields[1].split(separator: ",").contains(Substring(controller)) else { return [] }
      // `cpu,cpuacct` is often also there as `cpu`.
      let mounts = fields[1] == controller ? [controller] : [fields[1], controller]
      return ancestors(fields[2]).flatMap { name in
        mounts.map { Group(name: name, folder: "\(groups)/\($0)\(name)", isVersion2: false) }
      }
    }
  }

  /// `/a/b`, `/a`, `` (the root): a limit on any of them holds. A container often sees its own group as
  /// the root although the membership names another path.
  private static func ancestors(_ group: String) -> [String] {
    let parts = group.split(separator: "/")
    return (0...parts.count).reversed().map { count in parts.prefix(count).map { "/\($0)" }.joined() }
  }
}
