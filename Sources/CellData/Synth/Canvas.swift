/// A square field of optical densities, which shapes are laid into and from which an image is exposed.
/// Lengths are in micrometres; the origin is the middle of the field, x points right and y down.
struct Canvas {
  /// Pixels of a side.
  let size: Int
  /// Side of a pixel.
  let pixel: Float
  /// Density for red, green and blue of each pixel, row by row.
  private var density: [SIMD4<Float>]

  init(size: Int, field: Float) {
    self.size = size
    pixel = field / Float(size)
    density = [SIMD4<Float>](repeating: .zero, count: size * size)
  }

  /// Calls `paint` with the density and the place of each pixel within `reach` of `centre` on both axes.
  @inline(__always)
  mutating func lay(
    around centre: SIMD2<Float>, reach: Float, _ paint: (inout SIMD4<Float>, SIMD2<Float>) -> Void
  ) {
    let middle = Float(size) / 2
    func pixels(_ place: Float) -> Range<Int> {
      let first = min(max((place - reach) / pixel + middle, 0), Float(size))
      let last = min(max((place + reach) / pixel + middle + 1, 0), Float(size))
      return Int(first)..<Int(last)
    }
    let columns = pixels(centre.x)
    for row in pixels(centre.y) {
      let y = (Float(row) + 0.5 - middle) * pixel
      for column in columns {
        let x = (Float(column) + 0.5 - middle) * pixel
        paint(&density[row * size + column], SIMD2(x, y))
      }
    }
  }

  /// A disc that takes the place of `opacity` of what lies under it. One smaller than a pixel fades.
  mutating func disc(at centre: SIMD2<Float>, radius: Float, density stain: SIMD4<Float>, opacity: Float = 1)
  {
    let drawn = max(radius, pixel / 2)
    let pixel = pixel
    let opacity = opacity * (radius / drawn) * (radius / drawn)
    lay(around: centre, reach: drawn + pixel) { density, place in
      let part = opacity * min(max(0.5 - (SignedDistance.length(place - centre) - drawn) / pixel, 0), 1)
      density += (stain - density) * part
    }
  }

  /// Optical density of every pixel, row by row.
  var densities: [SIMD4<Float>] { density }
}
