/// Many images in one: a row for each kind, with thin lines between them.
package enum Montage {
  /// Cells of each kind in a row.
  package static let columns = 10
  /// Smaller cells are shown with larger pixels, about this many to a side.
  private static let shownSide = 72
  private static let line = 2

  /// The first cells of each kind among the first `count`. Where there are too few, the place stays white.
  package static func of(_ cells: SyntheticCells, count: Int) -> PixelImage {
    let kinds = cells.kinds.count
    let columns = min(columns, (count + kinds - 1) / kinds)
    let scale = max(1, shownSide / cells.size)
    let side = scale * cells.size
    let width = columns * (side + line) + line
    let height = kinds * (side + line) + line
    var bytes = [UInt8](repeating: 255, count: width * height * cells.channels)
    for index in 0..<min(count, columns * kinds) {
      let image = cells.image(index)
      let left = line + (index / kinds) * (side + line)
      let top = line + (index % kinds) * (side + line)
      for y in 0..<side {
        for x in 0..<side {
          let from = (y / scale * cells.size + x / scale) * cells.channels
          let to = ((top + y) * width + left + x) * cells.channels
          for channel in 0..<cells.channels { bytes[to + channel] = image.bytes[from + channel] }
        }
      }
    }
    return PixelImage(width: width, height: height, channels: cells.channels, bytes: bytes)
  }
}
