import Foundation

/// Curves and points over two axes, linear or logarithmic, with a legend below.
package struct Chart: Panel {
  package struct Series: Sendable {
    package enum Style: Sendable {
      case line
      case points
      case lineAndPoints
      /// Dashed and faint: an ideal, a bound.
      case ideal
      /// A step for each point, up to the next: a histogram.
      case steps
    }

    /// In the legend; empty for none.
    package var name: String
    package var points: [Point]
    package var style: Style
    /// From the lowest to the highest of each point's repetitions; empty, or one for each.
    package var spreads: [ClosedRange<Double>]

    package init(
      _ name: String, _ points: [Point], style: Style = .line, spreads: [ClosedRange<Double>] = []
    ) {
      precondition(
        spreads.isEmpty || spreads.count == points.count,
        "\(points.count) points expect as many spreads, got \(spreads.count)")
      (self.name, self.points, self.style, self.spreads) = (name, points, style, spreads)
    }
  }

  /// A surface below the curves, over the whole spans of the axes; the first row is the lowest.
  package struct Backdrop: Sendable {
    package var values: [Double]
    package var columns: Int
    package var scale: ColourScale

    package init(_ values: [Double], columns: Int, scale: ColourScale) {
      (self.values, self.columns, self.scale) = (values, columns, scale)
    }
  }

  package var title: String
  package var series: [Series]
  package var x: Axis
  package var y: Axis
  package var size: (width: Double, height: Double)
  package var backdrop: Backdrop?

  package init(
    _ title: String, _ series: [Series], x: Axis, y: Axis, width: Double = 410, height: Double = 270,
    backdrop: Backdrop? = nil
  ) {
    (self.title, self.series, self.x, self.y) = (title, series, x, y)
    (size, self.backdrop) = ((width, height), backdrop)
  }

  package var idealWidth: Double { size.width }

  /// The legend's entries in rows, with their x.
  private func legend(width: Double) -> [[(series: Int, x: Double)]] {
    var rows: [[(series: Int, x: Double)]] = []
    var x = 0.0
    for (index, entry) in series.enumerated() where !entry.name.isEmpty {
      let needed = min(width, 26 + TextWeight.regular.width(of: entry.name, size: 11) + 14)
      if rows.isEmpty || x + needed > width + 14 {
        rows.append([])
        x = 0
      }
      rows[rows.count - 1].append((index, x))
      x += needed
    }
    return rows
  }

  package func height(width: Double) -> Double {
    min(size.height, width * size.height / size.width * 1.15) + Double(legend(width: width).count) * 17
  }

  /// A colour for each series; ideals are faint and take none.
  private func colours(_ theme: Theme) -> [Colour] {
    var next = 0
    return series.map { entry in
      if entry.style == .ideal { return theme.faintInk }
      defer { next += 1 }
      return theme.series[next % theme.series.count]
    }
  }

  package func draw(on canvas: Canvas, in frame: Rect) {
    let theme = canvas.theme
    let rows = legend(width: frame.width)
    let points = series.flatMap(\.points)
    let spreads = series.flatMap(\.spreads).flatMap { [$0.lowerBound, $0.upperBound] }
    let xSpan = x.span(over: points.map(\.x))
    let ySpan = y.span(over: points.map(\.y) + spreads)
    let yTicks = y.ticks(in: ySpan, about: 5)
    let tickWidth = yTicks.map { TextWeight.regular.width(of: Axis.text($0), size: 11) }.max() ?? 0
    let left = tickWidth + 8 + (y.label.isEmpty ? 0 : 18)
    let plot = Rect(
      x: frame.x + left, y: frame.y + 6, width: frame.width - left - 12,
      height: frame.height - 17 * Double(rows.count) - 22 - (x.label.isEmpty ? 0 : 18) - 6)
    func place(_ point: Point) -> Point {
      Point(
        plot.x + plot.width * x.place(point.x, xSpan), plot.maxY - plot.height * y.place(point.y, ySpan))
    }
    if let backdrop {
      let rows = stride(from: backdrop.values.count - backdrop.columns, through: 0, by: -backdrop.columns)
      canvas.image(
        Raster(
          rows.flatMap { backdrop.values[$0..<($0 + backdrop.columns)] }, width: backdrop.columns,
          scale: backdrop.scale, theme: theme), in: plot)
    }
    for tick in yTicks {
      let at = place(Point(xSpan.lowerBound, tick))
      if backdrop == nil { canvas.line([at, Point(plot.maxX, at.y)], theme.rule, width: 0.75) }
      canvas.text(
        Axis.text(tick), at: Point(plot.x - 6, at.y + 4), size: 11, theme.faintInk, anchor: .right)
    }
    drawXTicks(canvas, plot, xSpan) { place(Point($0, ySpan.lowerBound)) }
    canvas.line(
      [Point(plot.x, plot.y), Point(plot.x, plot.maxY), Point(plot.maxX, plot.maxY)], theme.faintInk)
    if !y.label.isEmpty {
      canvas.text(
        y.label, at: Point(frame.x + 11, plot.centre.y), size: 11, theme.faintInk, anchor: .middle,
        turned: true)
    }
    let colours = colours(theme)
    canvas.clipped(to: plot.inset(by: -5)) {
      for (entry, colour) in zip(series, colours) { draw(entry, canvas, colour, plot, place) }
    }
    for (number, row) in rows.enumerated() {
      let y = frame.maxY - 17 * Double(rows.count - number) + 13
      for (index, x) in row {
        drawKey(canvas, index, Point(frame.x + x, y - 4), colours[index])
        canvas.text(
          TextWeight.regular.cut(series[index].name, size: 11, width: frame.width - x - 26),
          at: Point(frame.x + x + 26, y), size: 11, theme.ink)
      }
    }
  }

  private func drawXTicks(
    _ canvas: Canvas, _ plot: Rect, _ span: ClosedRange<Double>, _ place: (Double) -> Point
  ) {
    let theme = canvas.theme
    var free = -Double.infinity
    for tick in x.ticks(in: span, about: max(3, Int(plot.width / 60))) {
      let at = place(tick)
      let text = Axis.text(tick)
      let half = TextWeight.regular.width(of: text, size: 11) / 2
      canvas.line([at, Point(at.x, at.y + 4)], theme.faintInk)
      guard at.x - half > free else { continue }
      free = at.x + half + 5
      canvas.text(text, at: Point(at.x, at.y + 17), size: 11, theme.faintInk, anchor: .middle)
    }
    if !x.label.isEmpty {
      canvas.text(
        x.label, at: Point(plot.centre.x, plot.maxY + 34), size: 11, theme.faintInk, anchor: .middle)
    }
  }

  private func draw(
    _ entry: Series, _ canvas: Canvas, _ colour: Colour, _ plot: Rect, _ place: (Point) -> Point
  ) {
    let usable = entry.points.indices.filter { index in
      let point = entry.points[index]
      return point.x.isFinite && point.y.isFinite && (x.kind == .linear || point.x > 0)
        && (y.kind == .linear || point.y > 0)
    }
    let places = usable.map { place(entry.points[$0]) }
    switch entry.style {
    case .ideal: canvas.line(places, colour, width: 1.5, dash: [5, 4])
    case .steps:
      var corners: [Point] = []
      for (at, next) in zip(places, places.dropFirst() + places.suffix(1)) {
        corners += [at, Point(next.x, at.y)]
      }
      if let first = corners.first, let last = corners.last {
        canvas.polygon(
          [Point(first.x, plot.maxY)] + corners + [Point(last.x, plot.maxY)], colour.opacity(0.25))
      }
      canvas.line(corners, colour, width: 1.75)
    case .line: canvas.line(places, colour, width: 2)
    case .points: break
    case .lineAndPoints: canvas.line(places, colour, width: 2)
    }
    if !entry.spreads.isEmpty {
      for index in usable {
        let (low, high) = (entry.spreads[index].lowerBound, entry.spreads[index].upperBound)
        canvas.line(
          [place(Point(entry.points[index].x, low)), place(Point(entry.points[index].x, high))], colour)
      }
    }
    if entry.style == .points || entry.style == .lineAndPoints {
      let radius = places.count > 80 ? 1.6 : 3.6
      for at in places {
        if places.count <= 80 { canvas.circle(at, radius: radius + 1.2, canvas.theme.background) }
        canvas.circle(at, radius: radius, colour)
      }
    }
  }

  private func drawKey(_ canvas: Canvas, _ index: Int, _ at: Point, _ colour: Colour) {
    let ends = [at, Point(at.x + 20, at.y)]
    switch series[index].style {
    case .ideal: canvas.line(ends, colour, width: 1.5, dash: [5, 4])
    case .points: canvas.circle(Point(at.x + 10, at.y), radius: 3.6, colour)
    case .steps: canvas.fill(Rect(x: at.x, y: at.y - 5, width: 20, height: 10), colour.opacity(0.6))
    case .line: canvas.line(ends, colour, width: 2)
    case .lineAndPoints:
      canvas.line(ends, colour, width: 2)
      canvas.circle(Point(at.x + 10, at.y), radius: 3.6, colour)
    }
  }
}
