/// A table: the first row is its head; the first column stands to the left, the others to the right.
package struct TablePanel: Panel {
  package var title: String
  package var rows: [[String]]

  package init(_ title: String, _ rows: [[String]]) {
    precondition(
      rows.allSatisfy { $0.count == rows.first?.count }, "rows of a table expect as many cells as its head")
    (self.title, self.rows) = (title, rows)
  }

  private static let size = 12.0
  private static let row = 21.0

  private func widths(_ size: Double) -> [Double] {
    (0..<(rows.first?.count ?? 0)).map { column in
      16 + (rows.map { TextWeight.bold.width(of: $0[column], size: size) }.max() ?? 0)
    }
  }

  package var idealWidth: Double { widths(Self.size).reduce(0, +) }
  package func height(width: Double) -> Double { Double(rows.count) * Self.row }

  package func draw(on canvas: Canvas, in frame: Rect) {
    let shrink = min(1, frame.width / idealWidth)
    let widths = widths(Self.size).map { $0 * shrink }
    for (number, row) in rows.enumerated() {
      let y = frame.y + Self.row * Double(number)
      canvas.line(
        [Point(frame.x, y + Self.row), Point(frame.x + widths.reduce(0, +), y + Self.row)], canvas.theme.rule)
      var x = frame.x
      for (column, (text, width)) in zip(row, widths).enumerated() {
        canvas.text(
          text, at: Point(column == 0 ? x : x + width - 4, y + 15), size: Self.size * shrink,
          number == 0 ? canvas.theme.faintInk : canvas.theme.ink, anchor: column == 0 ? .left : .right,
          weight: number == 0 ? .bold : .regular)
        x += width
      }
    }
  }
}
