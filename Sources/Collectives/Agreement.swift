/// Ranks that should have the same configuration or binding, and don't.
package struct Disagreement: Error, Equatable, CustomStringConvertible {
  package struct Difference: Equatable, Sendable {
    package let name: String
    /// The values there are, in the order of the first rank that has them.
    package let groups: [Group]
  }

  package struct Group: Equatable, Sendable {
    package let value: String
    package fileprivate(set) var ranks: [Int]
  }

  package let differences: [Difference]

  /// `ranks 0–2 have isa avx512, rank 3 has avx2`, one sentence for each difference.
  package var description: String {
    differences.map { difference in
      difference.groups.enumerated().map { position, group in
        let who = Self.name(of: group.ranks) + (group.ranks.count == 1 ? " has " : " have ")
        return who + (position == 0 ? "\(difference.name) " : "") + group.value
      }.joined(separator: ", ")
    }.joined(separator: "; ")
  }

  /// `rank 3`, `ranks 0–2, 5`.
  package static func name(of ranks: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for rank in ranks.sorted() {
      if let last = runs.last, last.upperBound + 1 == rank {
        runs[runs.count - 1] = last.lowerBound...rank
      } else {
        runs.append(rank...rank)
      }
    }
    let words = runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)–\($0.upperBound)" }
    return (ranks.count == 1 ? "rank " : "ranks ") + words.joined(separator: ", ")
  }

  /// Compares the named values of all ranks; nil where they agree. Names are reported in the order
  /// in which they first come up; a rank that lacks one has `nothing`.
  package init?(comparing ranks: [[(name: String, value: String)]]) {
    var names: [String] = []
    for entry in ranks.joined() where !names.contains(entry.name) { names.append(entry.name) }
    differences = names.compactMap { name in
      var groups: [Group] = []
      for (rank, entries) in ranks.enumerated() {
        let value = entries.first { $0.name == name }?.value ?? "nothing"
        if let known = groups.firstIndex(where: { $0.value == value }) {
          groups[known].ranks.append(rank)
        } else {
          groups.append(Group(value: value, ranks: [rank]))
        }
      }
      return groups.count > 1 ? Difference(name: name, groups: groups) : nil
    }
    if differences.isEmpty { return nil }
  }
}

extension Communicator {
  /// Throws `Disagreement` on every rank unless all ranks have the same values.
  package func requireEqual(_ values: [(name: String, value: String)]) throws {
    guard size > 1 else { return }
    let all = try allGather(TextList.encoded(values.flatMap { [$0.name, $0.value] }))
    let ranks = all.map { bytes in
      let texts = TextList.decoded(bytes)
      return stride(from: 0, to: texts.count, by: 2).map { (name: texts[$0], value: texts[$0 + 1]) }
    }
    if let disagreement = Disagreement(comparing: ranks) { throw disagreement }
  }
}

/// Texts as bytes for a message between ranks of the same program: each one's length, then its UTF-8.
enum TextList {
  static func encoded(_ texts: [String]) -> [UInt8] {
    texts.flatMap { text in
      withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian) { Array($0) } + Array(text.utf8)
    }
  }

  static func decoded(_ bytes: [UInt8]) -> [String] {
    var texts: [String] = []
    var offset = 0
    while offset < bytes.count {
      let count = bytes[offset..<(offset + 4)].reversed().reduce(0) { $0 << 8 | Int($1) }
      texts.append(String(decoding: bytes[(offset + 4)..<(offset + 4 + count)], as: UTF8.self))
      offset += 4 + count
    }
    return texts
  }
}
