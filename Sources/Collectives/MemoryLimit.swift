/// How many bytes more processes may take: what a node has free, or what a control group still lets them have.
package struct MemoryLimit: Hashable, Sendable, Codable {
  package let bytes: Int
  /// The control group whose processes share the bytes; nil where all of the node do.
  package let group: String?

  package init(bytes: Int, group: String? = nil) {
    (self.bytes, self.group) = (bytes, group)
  }

  /// All that hold for this process, from files under `root`; none where the system tells nothing.
  package static func current(root: String = "") -> [MemoryLimit] {
    let groups = ControlGroups.limiting("memory", root: root).compactMap { group -> MemoryLimit? in
      func number(_ file: String) -> Int? { kernelText("\(group.folder)/\(file)").flatMap(firstNumber) }
      let (most, used, cached) =
        group.isVersion2
        ? ("memory.max", "memory.current", "inactive_file")
        : ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
      // Without a limit: `max`, or nearly 2⁶³.
      guard let limit = number(most), limit < 1 << 60 else { return nil }
      // Files that the kernel will let go of first.
      let cache = kernelText("\(group.folder)/memory.stat").flatMap { line($0, cached) }.flatMap(firstNumber)
      return MemoryLimit(
        bytes: max(0, limit - max(0, (number(used) ?? 0) - (cache ?? 0))), group: group.name)
    }
    let node = kernelText("\(root)/proc/meminfo").flatMap { line($0, "MemAvailable:") }.flatMap(firstNumber)
    return (node.map { [MemoryLimit(bytes: $0 << 10)] } ?? []) + groups
  }

  /// What follows `name` in its line.
  private static func line(_ text: String, _ name: String) -> String? {
    text.split(separator: "\n").first { $0.split(separator: " ").first == Substring(name) }
      .map { String($0.dropFirst(name.count)) }
  }

  private static func firstNumber(_ text: String) -> Int? {
    text.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
  }
}
