import Foundation

/// Figures as people read them.
package enum Figures {
  /// `1,234,567`.
  package static func grouped(_ number: Int) -> String {
    let digits = Array(String(number.magnitude))
    var text = ""
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return number < 0 ? "-" + text : text
  }

  /// Four digits behind the point; what isn't a finite number as `nan` or `inf`.
  package static func decimal(_ value: Double) -> String { String(format: "%.4f", value) }

  /// `0:07`, `12:05`, `3:02:01`.
  package static func clock(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e8 else { return "–:––" }
    let whole = Int(seconds.rounded())
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
    return hours > 0
      ? String(format: "%d:%02d:%02d", hours, minutes, rest) : String(format: "%d:%02d", minutes, rest)
  }

  /// A speed: one digit behind the point below 100, none above.
  package static func speed(_ perSecond: Double) -> String {
    String(format: perSecond < 99.95 ? "%.1f" : "%.0f", perSecond)
  }

  /// `20.1 M`, `1.82 G`: three digits.
  package static func short(_ number: Int) -> String {
    var value = Double(number)
    for unit in ["", " k", " M", " G"] {
      if value < 999.5 || unit == " G" {
        let digits = unit.isEmpty || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
        return String(format: "%.\(digits)f", value) + unit
      }
      value /= 1000
    }
    return String(number)
  }

  /// Cores as `0–3, 8`.
  package static func ranges(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers.sorted() {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)–\($0.upperBound)" }
      .joined(separator: ", ")
  }
}
