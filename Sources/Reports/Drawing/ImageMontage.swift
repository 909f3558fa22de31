/// Small images in rows, each with a line of text below.
package struct ImageMontage: Panel {
  package struct Item: Sendable {
    package var raster: Raster
    package var caption: String
    /// The side of a square that is framed in the middle, as a share of the image's shorter side; nil for none.
    package var square: Double?

    package init(_ raster: Raster, _ caption: String = "", square: Double? = nil) {
      (self.raster, self.caption, self.square) = (raster, caption, square)
    }
  }

  package var title: String
  package var items: [Item]
  package var columns: Int
  /// The longer side of an image.
  package var side: Double

  package init(_ title: String, _ items: [Item], columns: Int, side: Double = 96) {
    precondition(columns > 0, "a montage expects at least one column, got \(columns)")
    (self.title, self.items, self.columns, self.side) = (title, items, columns, side)
  }

  private var gap: Double { side < 40 ? 4 : 10 }
  private var captionHeight: Double { items.contains { !$0.caption.isEmpty } ? 17 : 0 }
  package var idealWidth: Double {
    let used = Double(min(columns, max(items.count, 1)))
    return used * side + (used - 1) * gap
  }

  private func columns(_ width: Double) -> Int {
    max(1, min(columns, Int((width + gap + 0.01) / (side + gap))))
  }

  package func height(width: Double) -> Double {
    let columns = columns(width)
    let rows = Double((items.count + columns - 1) / columns)
    return rows * (min(side, width) + captionHeight) + max(0, rows - 1) * gap
  }

  package func draw(on canvas: Canvas, in frame: Rect) {
    let (columns, side) = (columns(frame.width), min(side, frame.width))
    for (number, item) in items.enumerated() {
      let x = frame.x + Double(number % columns) * (side + gap)
      let y = frame.y + Double(number / columns) * (side + captionHeight + gap)
      let longer = Double(max(item.raster.width, item.raster.height))
      let (width, height) = (
        side * Double(item.raster.width) / longer, side * Double(item.raster.height) / longer
      )
      let rect = Rect(x: x + (side - width) / 2, y: y + (side - height) / 2, width: width, height: height)
      canvas.image(item.raster, in: rect)
      canvas.stroke(rect, canvas.theme.rule, width: 0.75)
      if let square = item.square {
        let side = min(1, square) * min(width, height)
        let frame = Rect(x: rect.centre.x - side / 2, y: rect.centre.y - side / 2, width: side, height: side)
        canvas.stroke(frame, Colour(0xffffff), width: 4)
        canvas.stroke(frame, Colour(0xd55e00), width: 2)
      }
      canvas.text(
        TextWeight.regular.cut(item.caption, size: 11, width: side + gap - 2), at: Point(x, y + side + 13),
        size: 11, canvas.theme.faintInk)
    }
  }
}
