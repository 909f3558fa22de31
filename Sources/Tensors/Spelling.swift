/// Finds the key or name that somebody meant.
package enum Spelling {
  /// The nearest of `keys` (dotted paths) to an unknown one; nil where none is near.
  package static func nearest(to key: String, among keys: [String]) -> String? {
    nearest(1, to: key, among: keys).first
  }

  /// The nearest few of `keys`, those that are near at all, the best first.
  package static func nearest(_ count: Int, to key: String, among keys: [String]) -> [String] {
    let wanted = normalised(key)
    let last = wanted.split(separator: ".").last ?? ""
    return keys.enumerated().map { (score: score(wanted, normalised($1)), order: $0, key: $1) }
      .filter { $0.score <= max(2, Double(last.count) / 3) }
      .sorted { ($0.score, $0.order) < ($1.score, $1.order) }
      .prefix(count).map(\.key)
  }

  private static func normalised(_ key: String) -> String {
    key.lowercased().split(separator: "-", omittingEmptySubsequences: false).joined(separator: "_")
  }

  /// Edits from one path to the other. The last component counts alone where the rest is missing or
  /// wrong, and half an edit stands for initials (`lr`) and for a name that goes on (`batch_size`).
  private static func score(_ wanted: String, _ key: String) -> Double {
    let (wantedName, keyName) = (name(of: wanted), name(of: key))
    let detour = wanted.dropLast(wantedName.count) == key.dropLast(keyName.count) ? 0.0 : 1.0
    var names = Double(distance(wantedName, keyName))
    let initials = String(keyName.split(separator: "_").compactMap(\.first))
    if wantedName == initials || wantedName.hasPrefix(keyName + "_") || keyName.hasPrefix(wantedName + "_") {
      names = min(names, 0.5)
    }
    return min(Double(distance(wanted, key)), names + detour)
  }

  private static func name(of key: String) -> String { key.split(separator: ".").last.map(String.init) ?? "" }

  /// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
  /// string alignment).
  package static func distance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a), Array(b))
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var edits = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { edits = min(edits, beforeLast[j - 1] + 1) }
        row.append(edits)
      }
      (beforeLast, last) = (last, row)
    }
    return last[b.count]
  }
}
