/// The one line that is drawn again and again while a run goes on.
package struct ProgressLine: Equatable {
  /// What stands before the bar: `epoch 3/20`.
  package var label: String
  package var done: Int
  package var total: Int
  /// What stands behind it, the most important first: what doesn't fit is left out from the end.
  package var details: [String]
  /// Whether the terminal shows more than ASCII.
  package var unicode: Bool

  package init(label: String, done: Int, total: Int, details: [String], unicode: Bool) {
    self.label = label
    self.done = done
    self.total = total
    self.details = details
    self.unicode = unicode
  }

  private static let barWidths = 6...24

  /// The line, at most `width` characters: details are dropped first, then the bar, then the end of the
  /// label.
  package func text(width: Int) -> String {
    let count = "\(done)/\(total)"
    var shown = details
    while true {
      let words = [label, "", count] + shown
      let taken = words.reduce(0) { $0 + $1.count } + 2 * (words.count - 1)
      let room = width - taken
      if room >= Self.barWidths.lowerBound {
        let bar = Self.bar(
          done: done, total: total, width: min(room, Self.barWidths.upperBound), unicode: unicode)
        return ([label, bar, count] + shown).joined(separator: "  ")
      }
      guard !shown.isEmpty else { break }
      shown.removeLast()
    }
    return String("\(label)  \(count)".prefix(max(0, width)))
  }

  /// A bar of `width` characters, filled by done ÷ total.
  package static func bar(done: Int, total: Int, width: Int, unicode: Bool) -> String {
    precondition(width >= 0, "a bar expects a width of at least 0, got \(width)")
    let filled = total > 0 ? min(width, max(0, width * done / total)) : 0
    return String(repeating: unicode ? "━" : "#", count: filled)
      + String(repeating: unicode ? "─" : ".", count: width - filled)
  }
}
