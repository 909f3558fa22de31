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
  /// Below this share of its width a table would be too small to read: each row becomes a paragraph.
  private static let leastShrink = 0.75

  private func isStacked(_ width: Double) -> Bool { width < idealWidth * Self.leastShrink }

  /// A row as a paragraph: its first cell, then `head value` one after another.
  private func paragraph(_ row: [String], _ width: Double) -> [String] {
    let parts = zip(rows[0], row).dropFirst().filter { !$0.1.isEmpty && $0.1 != "–" }
      .map { head, cell in head.isEmpty ? cell : "\(head) \(cell)" }
    return TextWeight.regular.lines(
      of: parts.joined(separator: " · "), size: Self.size, width: width)
  }

  package func height(width: Double) -> Double {
    guard isStacked(width) else { return Double(rows.count) * Self.row }
    return rows.dropFirst().reduce(0) { height, row in
      height + Double(firstLines(row, width).count + paragraph(row, width).count) * Self.line + 8
    }
  }

  private static let line = 16.0

  private func firstLines(_ row: [String], _ width: Double) -> [String] {
    TextWeight.bold.lines(of: row.first ?? "", size: Self.size, width: width)
  }

  private func drawStacked(on canvas: Canvas, in frame: Rect) {
    var y = frame.y
    for row in rows.dropFirst() {
      for line in firstLines(row, frame.width) {
        canvas.text(line, at: Point(frame.x, y + 12), size: Self.size, canvas.theme.ink, weight: .bold)
        y += Self.line
      }
      for line in paragraph(row, frame.width) {
        canvas.text(line, at: Point(frame.x, y + 12), size: Self.size, canvas.theme.ink)
        y += Self.line
      }
      canvas.line([Point(frame.x, y + 3), Point(frame.maxX, y + 3)], canvas.theme.rule)
      y += 8
    }
  }

  package func draw(on canvas: Canvas, in frame: Rect) {
    guard !isStacked(frame.width) else { return drawStacked(on: canvas, in: frame) }
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
