import Foundation

/// Numbers as a grid of coloured cells, with the number in each cell where there is room.
package struct HeatMap: Panel {
  /// Cells that are framed: a window on its way over an image, say.
  package struct Mark: Sendable {
    package var rows: Range<Int>
    package var columns: Range<Int>
    /// Which of the theme's colours.
    package var series: Int

    package init(rows: Range<Int>, columns: Range<Int>, series: Int = 1) {
      (self.rows, self.columns, self.series) = (rows, columns, series)
    }
  }

  package var title: String
  /// Row by row; NaN is a cell without a number.
  package var values: [Double]
  package var columns: Int
  package var scale: ColourScale
  /// Digits behind the point; nil for no numbers in the cells.
  package var digits: Int?
  package var cell: Double
  package var marks: [Mark]
  /// Below it, small.
  package var note: String
  /// Beside the rows and above the columns; none or one for each.
  package var rowNames: [String] = []
  package var columnNames: [String] = []

  package init(
    _ title: String, _ values: [Double], columns: Int, scale: ColourScale? = nil, digits: Int? = 0,
    cell: Double = 38, marks: [Mark] = [], note: String = ""
  ) {
    precondition(
      columns > 0 && values.count % columns == 0,
      "a heat map of \(columns) columns expects whole rows, got \(values.count) values")
    (self.title, self.values, self.columns) = (title, values, columns)
    self.scale = scale ?? .diverging(over: values)
    (self.digits, self.cell, self.marks, self.note) = (digits, cell, marks, note)
  }

  package var rows: Int { values.count / columns }

  private var rowNameWidth: Double {
    rowNames.isEmpty ? 0 : 8 + (rowNames.map { TextWeight.regular.width(of: $0, size: 11) }.max() ?? 0)
  }
  private var columnNameHeight: Double { columnNames.isEmpty ? 0 : 18 }
  package var idealWidth: Double { max(rowNameWidth + cell * Double(columns), 90, min(noteWidth, 200)) }
  private var noteWidth: Double { TextWeight.regular.width(of: note, size: 11) }

  private func side(_ width: Double) -> Double { min(cell, (width - rowNameWidth) / Double(columns)) }
  private func noteLines(_ width: Double) -> [String] {
    note.isEmpty ? [] : TextWeight.regular.lines(of: note, size: 11, width: width)
  }

  package func height(width: Double) -> Double {
    columnNameHeight + side(width) * Double(rows) + Double(noteLines(width).count) * 15
      + (note.isEmpty ? 0 : 5)
  }

  package func draw(on canvas: Canvas, in frame: Rect) {
    let side = side(frame.width)
    let theme = canvas.theme
    let grid = Rect(
      x: frame.x + rowNameWidth, y: frame.y + columnNameHeight, width: side * Double(columns),
      height: side * Double(rows))
    // Beyond a few thousand cells shapes would only swell the file.
    if values.count > 2000 || side < 5 {
      canvas.image(Raster(values, width: columns, scale: scale, theme: theme), in: grid)
    } else {
      drawCells(canvas, grid, side)
    }
    canvas.stroke(grid, theme.rule)
    for (row, name) in rowNames.enumerated() where side >= 9 || row % 5 == 0 {
      canvas.text(
        name, at: Point(grid.x - 6, grid.y + side * (Double(row) + 0.5) + 4), size: 11, theme.faintInk,
        anchor: .right)
    }
    for (column, name) in columnNames.enumerated() {
      canvas.label(
        name, in: Rect(x: grid.x + side * Double(column), y: frame.y, width: side, height: 16), size: 11,
        theme.faintInk)
    }
    for mark in marks {
      let rect = Rect(
        x: grid.x + side * Double(mark.columns.lowerBound), y: grid.y + side * Double(mark.rows.lowerBound),
        width: side * Double(mark.columns.count), height: side * Double(mark.rows.count))
      let colour = theme.series[mark.series % theme.series.count]
      canvas.stroke(rect.inset(by: 1), theme.background, width: 5)
      canvas.stroke(rect.inset(by: 1), colour, width: 3)
    }
    for (number, line) in noteLines(frame.width).enumerated() {
      canvas.text(
        line, at: Point(frame.x, grid.maxY + 16 + 15 * Double(number)), size: 11, theme.faintInk)
    }
  }

  private func drawCells(_ canvas: Canvas, _ grid: Rect, _ side: Double) {
    for (index, value) in values.enumerated() {
      let rect = Rect(
        x: grid.x + side * Double(index % columns), y: grid.y + side * Double(index / columns), width: side,
        height: side)
      let colour = scale.colour(of: value, canvas.theme)
      canvas.fill(rect, colour)
      if side >= 12 { canvas.stroke(rect, canvas.theme.rule, width: 0.75) }
      guard let digits, value.isFinite else { continue }
      canvas.label(Self.text(value, digits: digits), in: rect, size: 14, colour.readableInk)
    }
  }

  /// With a true minus sign, and no sign before a zero.
  package static func text(_ value: Double, digits: Int) -> String {
    let text = String(format: "%.\(digits)f", value)
    guard text.hasPrefix("-") else { return text }
    return text.contains(where: { $0.isNumber && $0 != "0" })
      ? "−" + text.dropFirst() : String(text.dropFirst())
  }
}
