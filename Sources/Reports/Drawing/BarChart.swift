import Foundation

/// Named bars that lie on their side, each with its value behind it, so that long names and large numbers fit.
package struct BarChart: Panel {
  package struct Bar: Sendable {
    package var name: String
    package var value: Double
    /// What stands behind the bar.
    package var text: String
    /// Which of the theme's colours.
    package var series: Int

    package init(_ name: String, _ value: Double, text: String, series: Int = 0) {
      (self.name, self.value, self.text, self.series) = (name, value, text, series)
    }
  }

  package var title: String
  package var bars: [Bar]
  /// Lengths by the logarithm, from a tenth of the smallest value on: where values differ by orders of magnitude.
  package var isLogarithmic: Bool
  package var width: Double

  package init(_ title: String, _ bars: [Bar], isLogarithmic: Bool = false, width: Double = 560) {
    (self.title, self.bars, self.isLogarithmic, self.width) = (title, bars, isLogarithmic, width)
  }

  package var idealWidth: Double { width }
  private static let row = 26.0
  private static let size = 12.0

  private func widest(_ texts: [String]) -> Double {
    texts.map { TextWeight.regular.width(of: $0, size: Self.size) }.max() ?? 0
  }

  /// Names get a line of their own where they would leave too little room for bars.
  private func isStacked(_ width: Double) -> Bool {
    width - widest(bars.map(\.name)) - widest(bars.map(\.text)) < max(110, width / 4)
  }

  package func height(width: Double) -> Double {
    Double(bars.count) * (Self.row + (isStacked(width) ? 16 : 0))
  }

  package func draw(on canvas: Canvas, in frame: Rect) {
    let theme = canvas.theme
    let isStacked = isStacked(frame.width)
    let left = isStacked ? 0 : widest(bars.map(\.name)) + 10
    let room = frame.width - left - widest(bars.map(\.text)) - 12
    let positive = bars.map(\.value).filter { $0 > 0 && $0.isFinite }
    let high = positive.max() ?? 1
    let base = isLogarithmic ? (positive.min() ?? 1) / 10 : 0
    for (number, bar) in bars.enumerated() {
      let height = Self.row + (isStacked ? 16 : 0)
      let y = frame.y + height * Double(number) + (isStacked ? 16 : 0)
      canvas.text(
        isStacked ? TextWeight.regular.cut(bar.name, size: Self.size, width: frame.width) : bar.name,
        at: Point(frame.x, isStacked ? y - 2 : y + 17), size: Self.size, theme.ink)
      let part =
        !(bar.value > 0) ? 0 : isLogarithmic ? log(bar.value / base) / log(high / base) : bar.value / high
      let length = max(1.5, room * part)
      canvas.fill(
        Rect(x: frame.x + left, y: y + 4, width: length, height: Self.row - 8),
        theme.series[bar.series % theme.series.count], corner: 2)
      canvas.text(
        bar.text, at: Point(frame.x + left + length + 7, y + 17), size: Self.size, theme.faintInk)
    }
  }
}
