import CellData

/// A small image of coloured pixels.
package struct Raster: Sendable, Equatable {
  package let width: Int
  package let height: Int
  /// 0xRRGGBB, row by row.
  let pixels: [UInt32]

  /// `values` row by row, through a colour scale.
  package init(_ values: [Double], width: Int, scale: ColourScale, theme: Theme) {
    precondition(
      width > 0 && values.count % width == 0, "rows of \(width) expect a multiple, got \(values.count)")
    self.width = width
    height = values.count / width
    pixels = values.map { Self.packed(scale.colour(of: $0, theme)) }
  }

  /// A grey or colour image.
  package init(_ image: PixelImage) {
    (width, height) = (image.width, image.height)
    let channels = image.channels
    pixels = (0..<(image.width * image.height)).map { place in
      func part(_ channel: Int) -> UInt32 {
        UInt32(image.bytes[place * channels + (channels >= 3 ? channel : 0)])
      }
      return part(0) << 16 | part(1) << 8 | part(2)
    }
  }

  private static func packed(_ colour: Colour) -> UInt32 {
    func byte(_ part: Double) -> UInt32 { UInt32((min(1, max(0, part)) * 255).rounded()) }
    return byte(colour.red) << 16 | byte(colour.green) << 8 | byte(colour.blue)
  }
}
