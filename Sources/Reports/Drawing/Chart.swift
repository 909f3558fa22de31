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
    /// What stands beside each point, where there is room for it; empty, or one for each.
    package var labels: [String]
    /// From the lowest to the highest of each point's repetitions; empty, or one for each.
    package var spreads: [ClosedRange<Double>]

    package init(
      _ name: String, _ points: [Point], style: Style = .line, spreads: [ClosedRange<Double>] = [],
      labels: [String] = []
    ) {
      precondition(
        spreads.isEmpty || spreads.count == points.count,
        "\(points.count) points expect as many spreads, got \(spreads.count)")
      precondition(
        labels.isEmpty || labels.count == points.count,
        "\(points.count) points expect as many labels, got \(labels.count)")
      (self.name, self.points, self.style, self.spreads) = (name, points, style, spreads)
      self.labels = labels
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
    min(size.height, max(width * size.height / size.width * 1.15, width * 0.62)) + Double(
      legend(width: width).count) * 17
  }

  /// How a series is told from others: by colour, and when those are used up by the shape of its points, too.
  private struct Look {
    var colour: Colour
    var shape: Int
  }

  /// Ideals are faint and take no colour.
  private func looks(_ theme: Theme) -> [Look] {
    var next = 0
    return series.map { entry in
      if entry.style == .ideal { return Look(colour: theme.faintInk, shape: 0) }
      defer { next += 1 }
      return Look(colour: theme.series[next % theme.series.count], shape: next / theme.series.count)
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
    let looks = looks(theme)
    canvas.clipped(to: plot.inset(by: -5)) {
      for (entry, look) in zip(series, looks) { draw(entry, canvas, look, plot, place) }
    }
    drawLabels(canvas, plot, place)
    for (number, row) in rows.enumerated() {
      let y = frame.maxY - 17 * Double(rows.count - number) + 13
      for (index, x) in row {
        drawKey(canvas, index, Point(frame.x + x, y - 4), looks[index])
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
    _ entry: Series, _ canvas: Canvas, _ look: Look, _ plot: Rect, _ place: (Point) -> Point
  ) {
    let colour = look.colour
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
        marker(canvas, at, radius, look)
      }
    }
  }

  /// A disc, a square, a triangle or a rhomb, of about the same area.
  private func marker(_ canvas: Canvas, _ at: Point, _ radius: Double, _ look: Look) {
    func polygon(_ corners: Int, _ size: Double, _ turn: Double) {
      canvas.polygon(
        (0..<corners).map { corner in
          let angle = (Double(corner) / Double(corners) + turn) * 2 * Double.pi
          return Point(at.x + size * sin(angle), at.y - size * cos(angle))
        }, look.colour)
    }
    switch look.shape % 4 {
    case 0: canvas.circle(at, radius: radius, look.colour)
    case 1: polygon(4, radius * 1.3, 0.125)
    case 2: polygon(3, radius * 1.5, 0)
    default: polygon(4, radius * 1.45, 0)
    }
  }

  /// Labels right of, left of, above or below their points, wherever they meet neither another label nor a point; those
  /// that would are left out.
  private func drawLabels(_ canvas: Canvas, _ plot: Rect, _ place: (Point) -> Point) {
    for label in placedLabels(plot, place) {
      canvas.text(
        label.text, at: Point(label.frame.x, label.frame.maxY - 2), size: 9.5, canvas.theme.faintInk)
    }
  }

  private func placedLabels(_ plot: Rect, _ place: (Point) -> Point) -> [(text: String, frame: Rect)] {
    var taken = series.filter { $0.style != .ideal }.flatMap(\.points).map { point -> Rect in
      let at = place(point)
      return Rect(x: at.x - 4, y: at.y - 4, width: 8, height: 8)
    }
    var labels: [(String, Rect)] = []
    for entry in series {
      for (point, text) in zip(entry.points, entry.labels) where !text.isEmpty {
        let at = place(point)
        let (width, height) = (TextWeight.regular.width(of: text, size: 9.5), 11.0)
        let frames = [
          Rect(x: at.x + 7, y: at.y - height / 2, width: width, height: height),
          Rect(x: at.x - 7 - width, y: at.y - height / 2, width: width, height: height),
          Rect(x: at.x - width / 2, y: at.y - 7 - height, width: width, height: height),
          Rect(x: at.x - width / 2, y: at.y + 7, width: width, height: height),
        ]
        let free = frames.first { frame in
          frame.x >= plot.x && frame.maxX <= plot.maxX && frame.y >= plot.y && frame.maxY <= plot.maxY
            && !taken.contains {
              $0.x < frame.maxX && frame.x < $0.maxX && $0.y < frame.maxY && frame.y < $0.maxY
            }
        }
        guard let free else { continue }
        taken.append(free)
        labels.append((text, free))
      }
    }
    return labels
  }

  private func drawKey(_ canvas: Canvas, _ index: Int, _ at: Point, _ look: Look) {
    let colour = look.colour
    let ends = [at, Point(at.x + 20, at.y)]
    switch series[index].style {
    case .ideal: canvas.line(ends, colour, width: 1.5, dash: [5, 4])
    case .points: marker(canvas, Point(at.x + 10, at.y), 3.6, look)
    case .steps: canvas.fill(Rect(x: at.x, y: at.y - 5, width: 20, height: 10), colour.opacity(0.6))
    case .line: canvas.line(ends, colour, width: 2)
    case .lineAndPoints:
      canvas.line(ends, colour, width: 2)
      marker(canvas, Point(at.x + 10, at.y), 3.6, look)
    }
  }
}
