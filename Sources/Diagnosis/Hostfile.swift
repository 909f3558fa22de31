import Foundation

/// A list of hosts as Open MPI reads it: a host a line, `slots=N` behind it, comments after #.
package struct Hostfile: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package let host: String
    /// nil where the file says none: then Open MPI takes the host's cores.
    package let slots: Int?
  }

  package let path: String
  package let entries: [Entry]
  /// Lines that Open MPI would not understand, and hosts that come twice.
  package let problems: [String]

  package init(path: String, text: String) {
    var entries: [Entry] = []
    var problems: [String] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let content = line.prefix { $0 != "#" }
      let words = content.split(whereSeparator: \.isWhitespace).map { String($0) }
      guard let host = words.first else { continue }
      var slots: Int?
      for word in words.dropFirst() {
        let parts = word.split(separator: "=", omittingEmptySubsequences: false).map { String($0) }
        switch (parts[0], parts.count == 2 ? Int(parts[1]) : nil) {
        case ("slots", let count?) where count > 0: slots = count
        case ("max_slots", .some), ("max-slots", .some): break
        default: problems.append("\(path), line \(number + 1): \"\(word)\" where slots=N is expected")
        }
      }
      if entries.contains(where: { $0.host == host }) {
        problems.append("\(path), line \(number + 1): \(host) stands there twice, its slots add up")
      }
      entries.append(Entry(host: host, slots: slots))
    }
    if entries.isEmpty { problems.append("\(path): no host") }
    (self.path, self.entries, self.problems) = (path, entries, problems)
  }
}

/// What a host answers when it is asked by ssh, as mpirun would ask it.
package struct HostFacts: Sendable, Equatable {
  package var host: String
  package var slots: Int?
  /// Why it can't be reached; nil where it can.
  package var problem: String?
  package var cores: Int?
  /// The version of the program there; nil where it isn't where it is here.
  package var version: String?
  package var seconds: Double

  package init(
    host: String, slots: Int? = nil, problem: String? = nil, cores: Int? = nil, version: String? = nil,
    seconds: Double
  ) {
    (self.host, self.slots, self.problem) = (host, slots, problem)
    (self.cores, self.version, self.seconds) = (cores, version, seconds)
  }
}
