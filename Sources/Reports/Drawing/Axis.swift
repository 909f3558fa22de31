import Foundation

/// An axis of a chart.
package struct Axis: Sendable {
  package enum Kind: Sendable { case linear, logarithmic }

  package var label: String
  package var kind: Kind
  /// What it spans; nil for as much as the data.
  package var range: ClosedRange<Double>?
  /// Ticks at these values only, such as rank counts 1, 2, 4, 8.
  package var ticks: [Double]?

  package init(
    _ label: String, _ kind: Kind = .linear, range: ClosedRange<Double>? = nil, ticks: [Double]? = nil
  ) {
    (self.label, self.kind, self.range, self.ticks) = (label, kind, range, ticks)
  }

  /// The span over `values`, a linear one widened by a twentieth and down to 0 where that is near.
  func span(over values: [Double]) -> ClosedRange<Double> {
    if let range { return range }
    let usable = values.filter { $0.isFinite && (kind == .linear || $0 > 0) }
    guard var low = usable.min(), var high = usable.max() else { return kind == .linear ? 0...1 : 1...10 }
    switch kind {
    case .logarithmic:
      (low, high) = (low / 1.15, high * 1.15)
    case .linear:
      let margin = high > low ? (high - low) / 20 : max(abs(low) / 10, 0.5)
      if low >= 0, low < (high - low) / 2 { low = 0 } else { low -= margin }
      high += margin
    }
    return low...high
  }

  /// Where a value stands, 0 … 1.
  func place(_ value: Double, _ span: ClosedRange<Double>) -> Double {
    switch kind {
    case .linear: (value - span.lowerBound) / (span.upperBound - span.lowerBound)
    case .logarithmic: log(value / span.lowerBound) / log(span.upperBound / span.lowerBound)
    }
  }

  /// Round values within the span, about `count` of them.
  func ticks(in span: ClosedRange<Double>, about count: Int) -> [Double] {
    if let ticks { return ticks.filter { span.contains($0) } }
    switch kind {
    case .linear:
      let raw = (span.upperBound - span.lowerBound) / Double(max(count, 1))
      let power = pow(10, floor(log10(raw)))
      let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= raw * 0.999 } ?? 10 * power
      let first = (span.lowerBound / step).rounded(.up)
      let last = (span.upperBound / step).rounded(.down)
      return first <= last ? stride(from: first, through: last, by: 1).map { $0 * step } : []
    case .logarithmic:
      let (low, high) = (
        Int(floor(log10(span.lowerBound))), Int(ceil(log10(span.upperBound)))
      )
      let steps = high - low <= 1 ? [1.0, 2, 3, 5] : high - low <= 3 ? [1, 3] : [1]
      let all = (low...high).flatMap { power in steps.map { $0 * pow(10, Double(power)) } }
      let inside = all.filter { span.contains($0) }
      let skip = max(1, (inside.count + count - 1) / max(count, 1))
      return inside.enumerated().filter { $0.offset % skip == 0 }.map(\.element)
    }
  }

  /// A tick as text: `0.25`, `1500`, `20 k`, `3 M`.
  static func text(_ value: Double) -> String {
    let size = abs(value)
    // Not "−0".
    if size == 0 { return "0" }
    let (number, unit) =
      switch size {
      case 1e9...: (value / 1e9, " G")
      case 1e6...: (value / 1e6, " M")
      case 1e4...: (value / 1e3, " k")
      default: (value, "")
      }
    let digits = size < 1e-3 ? String(format: "%.0e", number) : String(format: "%.4g", number)
    return digits.replacing("-", with: "−") + unit
  }
}
