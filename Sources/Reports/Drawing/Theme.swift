import Foundation

/// The colours of a picture on light or dark paper.
package enum Theme: String, Sendable, CaseIterable {
  case light
  case dark

  package var background: Colour { self == .light ? Colour(0xffffff) : Colour(0x14181d) }
  package var ink: Colour { self == .light ? Colour(0x1b1f24) : Colour(0xe6e9ed) }
  /// Of captions and ticks.
  package var faintInk: Colour { self == .light ? Colour(0x57606a) : Colour(0x9aa5b1) }
  /// Of grids and boxes' borders.
  package var rule: Colour { self == .light ? Colour(0xd0d7de) : Colour(0x3a434d) }
  /// Of boxes.
  package var surface: Colour { self == .light ? Colour(0xf2f5f8) : Colour(0x1f262d) }
  /// Of what is pointed at.
  package var accent: Colour { series[1] }

  /// Colours of curves and bars, in turn: after Okabe and Ito, which people with any colour vision tell apart,
  /// those that stand out against the paper.
  package var series: [Colour] {
    switch self {
    case .light: [0x0072b2, 0xd55e00, 0x009e73, 0xb5598c, 0x8a6d00, 0x3d8fc4].map(Colour.init)
    case .dark: [0x56b4e9, 0xe69f00, 0x2fc79a, 0xe08cbc, 0xf0e442, 0xff7f50].map(Colour.init)
    }
  }
}

/// How numbers become colours.
package enum ColourScale: Sendable, Equatable {
  /// From dark blue over green to yellow; lightness rises all the way, so grey prints read the same.
  case sequential(ClosedRange<Double>)
  /// Blue below zero, orange above, the paper's colour in the middle; from −limit to limit.
  case diverging(limit: Double)
  /// Black to white.
  case grey(ClosedRange<Double>)

  /// A diverging scale as wide as the values are.
  package static func diverging(over values: some Sequence<Double>) -> ColourScale {
    .diverging(limit: max(values.lazy.filter(\.isFinite).map { abs($0) }.max() ?? 0, 1e-12))
  }

  /// A sequential scale as wide as the values are.
  package static func sequential(over values: some Sequence<Double>) -> ColourScale {
    .sequential(range(values))
  }

  /// A grey scale as wide as the values are.
  package static func grey(over values: some Sequence<Double>) -> ColourScale { .grey(range(values)) }

  private static func range(_ values: some Sequence<Double>) -> ClosedRange<Double> {
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max() else { return 0...1 }
    return high > low ? low...high : low...(low + max(abs(low) * 1e-6, 1))
  }

  private static let steps = [0x2b1e5c, 0x2f4b8f, 0x1f7a8c, 0x3aa37a, 0x9ac746, 0xf6e34a].map(Colour.init)

  package func colour(of value: Double, _ theme: Theme) -> Colour {
    guard value.isFinite else { return theme.rule }
    switch self {
    case .grey(let range):
      return Colour(0x000000).mixed(with: Colour(0xffffff), Self.place(value, range))
    case .sequential(let range):
      let place = Self.place(value, range) * Double(Self.steps.count - 1)
      let step = min(Int(place), Self.steps.count - 2)
      return Self.steps[step].mixed(with: Self.steps[step + 1], place - Double(step))
    case .diverging(let limit):
      let middle = theme == .light ? Colour(0xf7f7f5) : Colour(0x2a3138)
      let (low, high) = theme == .light ? (0x1f5fa8, 0xc65100) : (0x5cabf0, 0xff9a3d)
      let part = min(1, abs(value) / limit)
      return middle.mixed(with: Colour(UInt32(value < 0 ? low : high)), part)
    }
  }

  private static func place(_ value: Double, _ range: ClosedRange<Double>) -> Double {
    let width = range.upperBound - range.lowerBound
    return width > 0 ? min(1, max(0, (value - range.lowerBound) / width)) : 0
  }
}

/// x to the power of 2.4, for sRGB.
func pow24(_ x: Double) -> Double { pow(x, 2.4) }
