import CCairo
import Tensors

/// What pictures are drawn on: an SVG document or the pixels of a PNG, by the same calls. The only importer of
/// cairo. Places are in pixels of a picture at scale 1.
package final class Canvas {
  package let theme: Theme
  package let width: Double
  package let height: Double
  private let context: OpaquePointer
  /// The texts drawn so far, and the paper that their letters take: from the baseline to the height of capitals.
  package private(set) var texts: [(text: String, frame: Rect)] = []

  /// The bytes of a file that cairo writes piece by piece.
  private final class Bytes {
    var values: [UInt8] = []
  }

  private init(_ surface: OpaquePointer?, _ width: Double, _ height: Double, _ theme: Theme) {
    guard let context = cairo_create(surface) else { preconditionFailure("cairo has no memory left") }
    (self.context, self.width, self.height, self.theme) = (context, width, height, theme)
  }

  deinit { cairo_destroy(context) }

  private static let append:
    @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<UInt8>?, UInt32) ->
      cairo_status_t = { target, bytes, count in
        guard let target else { return CAIRO_STATUS_WRITE_ERROR }
        Unmanaged<Bytes>.fromOpaque(target).takeUnretainedValue().values
          .append(contentsOf: UnsafeBufferPointer(start: bytes, count: Int(count)))
        return CAIRO_STATUS_SUCCESS
      }

  /// The bytes of an SVG document on which `draw` has drawn.
  package static func svg(
    width: Double, height: Double, theme: Theme, _ draw: (Canvas) -> Void
  ) -> [UInt8] {
    let bytes = Bytes()
    let surface = cairo_svg_surface_create_for_stream(
      append, Unmanaged.passUnretained(bytes).toOpaque(), width, height)
    defer { cairo_surface_destroy(surface) }
    cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX)
    paint(surface, width, height, theme, draw)
    cairo_surface_finish(surface)
    check(surface, "an SVG of \(width) × \(height)")
    return withExtendedLifetime(bytes) { bytes.values }
  }

  /// The bytes of a PNG, `scale` times as large, on which `draw` has drawn.
  package static func png(
    width: Double, height: Double, scale: Double, theme: Theme, _ draw: (Canvas) -> Void
  ) -> [UInt8] {
    let bytes = Bytes()
    let surface = cairo_image_surface_create(
      CAIRO_FORMAT_RGB24, Int32((width * scale).rounded(.up)), Int32((height * scale).rounded(.up)))
    defer { cairo_surface_destroy(surface) }
    cairo_surface_set_device_scale(surface, scale, scale)
    paint(surface, width, height, theme, draw)
    check(surface, "a PNG of \(width) × \(height)")
    let status = cairo_surface_write_to_png_stream(
      surface, append, Unmanaged.passUnretained(bytes).toOpaque())
    precondition(status == CAIRO_STATUS_SUCCESS, "cairo can't write a PNG: \(words(status))")
    return withExtendedLifetime(bytes) { bytes.values }
  }

  private static func paint(
    _ surface: OpaquePointer?, _ width: Double, _ height: Double, _ theme: Theme, _ draw: (Canvas) -> Void
  ) {
    let canvas = Canvas(surface, width, height, theme)
    canvas.fill(Rect(x: 0, y: 0, width: width, height: height), theme.background)
    draw(canvas)
    let status = cairo_status(canvas.context)
    precondition(status == CAIRO_STATUS_SUCCESS, "cairo can't draw: \(words(status))")
  }

  private static func check(_ surface: OpaquePointer?, _ what: String) {
    let status = cairo_surface_status(surface)
    precondition(status == CAIRO_STATUS_SUCCESS, "cairo can't make \(what): \(words(status))")
  }

  private static func words(_ status: cairo_status_t) -> String {
    cairo_status_to_string(status).map { String(cString: $0) } ?? "status \(status.rawValue)"
  }

  // MARK: shapes

  package func fill(_ rect: Rect, _ colour: Colour, corner: Double = 0) {
    outline(rect, corner: corner)
    use(colour)
    cairo_fill(context)
  }

  package func stroke(_ rect: Rect, _ colour: Colour, width: Double = 1, corner: Double = 0) {
    outline(rect, corner: corner)
    stroke(colour, width)
  }

  /// A line through `points`.
  package func line(
    _ points: [Point], _ colour: Colour, width: Double = 1, dash: [Double] = []
  ) {
    trace(points)
    cairo_set_dash(context, dash, Int32(dash.count), 0)
    stroke(colour, width)
    cairo_set_dash(context, nil, 0, 0)
  }

  package func polygon(_ points: [Point], _ colour: Colour) {
    trace(points)
    cairo_close_path(context)
    use(colour)
    cairo_fill(context)
  }

  /// A curve that leaves `start` towards `control` and arrives at `end` from there.
  package func curve(from start: Point, over control: Point, to end: Point, _ colour: Colour, width: Double) {
    cairo_new_path(context)
    cairo_move_to(context, start.x, start.y)
    curve(start, control, end)
    stroke(colour, width)
  }

  package func circle(_ centre: Point, radius: Double, _ colour: Colour) {
    cairo_new_path(context)
    cairo_arc(context, centre.x, centre.y, radius, 0, 2 * .pi)
    use(colour)
    cairo_fill(context)
  }

  /// Draws within `rect` only.
  package func clipped(to rect: Rect, _ draw: () -> Void) {
    cairo_save(context)
    outline(rect, corner: 0)
    cairo_clip(context)
    draw()
    cairo_restore(context)
  }

  // MARK: text

  package enum Anchor: Sendable { case left, middle, right }

  /// A line of text; `at` is on the baseline at its left end, its middle or its right end. `turned` by a quarter
  /// it reads upwards.
  package func text(
    _ text: String, at place: Point, size: Double, _ colour: Colour, anchor: Anchor = .left,
    weight: TextWeight = .regular, turned: Bool = false
  ) {
    let width = weight.width(of: text, size: size)
    let shift =
      switch anchor {
      case .left: 0.0
      case .middle: width / 2
      case .right: width
      }
    let high = size * 0.73
    texts.append(
      (
        text,
        turned
          ? Rect(x: place.x - high, y: place.y + shift - width, width: high, height: width)
          : Rect(x: place.x - shift, y: place.y - high, width: width, height: high)
      ))
    cairo_save(context)
    cairo_translate(context, place.x, place.y)
    if turned { cairo_rotate(context, -.pi / 2) }
    cairo_new_path(context)
    var x = -shift
    for glyph in weight.outlines.glyphs(of: text) {
      add(glyph, x, size)
      x += glyph.advance * size
    }
    use(colour)
    cairo_fill(context)
    cairo_restore(context)
  }

  /// Text in the middle of `rect`, smaller where it would not fit; nothing where it would be too small to read.
  package func label(
    _ text: String, in rect: Rect, size: Double, _ colour: Colour, weight: TextWeight = .regular
  ) {
    let width = weight.width(of: text, size: size)
    let fitting = min(size, size * (rect.width - 4) / max(width, 1), rect.height * 0.8)
    guard fitting >= 6 else { return }
    self.text(
      text, at: Point(rect.centre.x, rect.centre.y + fitting * 0.36), size: fitting, colour, anchor: .middle,
      weight: weight)
  }

  private func add(_ glyph: Outlines.Glyph, _ x: Double, _ size: Double) {
    var last = Point(0, 0)
    func place(_ point: Point) -> Point { Point(x + point.x * size, -point.y * size) }
    for command in glyph.commands {
      switch command {
      case .move(let to):
        last = place(to)
        cairo_move_to(context, last.x, last.y)
      case .line(let to):
        last = place(to)
        cairo_line_to(context, last.x, last.y)
      case .curve(let over, let to):
        curve(last, place(over), place(to))
        last = place(to)
      case .close: cairo_close_path(context)
      }
    }
  }

  // MARK: images

  /// Pixels, sharp at any size, over `rect`.
  package func image(_ raster: Raster, in rect: Rect) {
    guard raster.width > 0, raster.height > 0 else { return }
    // Viewers blur what they enlarge, so it is enlarged here, to at least two dots a pixel.
    let factor = max(1, Int((2 * rect.width / Double(raster.width)).rounded(.up)))
    let (width, height) = (raster.width * factor, raster.height * factor)
    guard
      let surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, Int32(width), Int32(height)),
      let pixels = cairo_image_surface_get_data(surface)
    else { return }
    defer { cairo_surface_destroy(surface) }
    let stride = Int(cairo_image_surface_get_stride(surface))
    for y in 0..<height {
      let row = (pixels + y * stride).withMemoryRebound(to: UInt32.self, capacity: width) { $0 }
      for x in 0..<width { row[x] = raster.pixels[y / factor * raster.width + x / factor] }
    }
    cairo_surface_mark_dirty(surface)
    cairo_save(context)
    cairo_translate(context, rect.x, rect.y)
    cairo_scale(context, rect.width / Double(width), rect.height / Double(height))
    cairo_set_source_surface(context, surface, 0, 0)
    cairo_pattern_set_filter(cairo_get_source(context), CAIRO_FILTER_GOOD)
    cairo_paint(context)
    cairo_restore(context)
  }

  // MARK: paths

  private func outline(_ rect: Rect, corner: Double) {
    cairo_new_path(context)
    guard corner > 0 else {
      cairo_rectangle(context, rect.x, rect.y, rect.width, rect.height)
      return
    }
    let r = min(corner, rect.width / 2, rect.height / 2)
    cairo_arc(context, rect.maxX - r, rect.y + r, r, -.pi / 2, 0)
    cairo_arc(context, rect.maxX - r, rect.maxY - r, r, 0, .pi / 2)
    cairo_arc(context, rect.x + r, rect.maxY - r, r, .pi / 2, .pi)
    cairo_arc(context, rect.x + r, rect.y + r, r, .pi, 1.5 * .pi)
    cairo_close_path(context)
  }

  private func trace(_ points: [Point]) {
    cairo_new_path(context)
    for (index, point) in points.enumerated() {
      if index == 0 {
        cairo_move_to(context, point.x, point.y)
      } else {
        cairo_line_to(context, point.x, point.y)
      }
    }
  }

  /// A quadratic curve as the cubic one that it is.
  private func curve(_ start: Point, _ over: Point, _ end: Point) {
    cairo_curve_to(
      context, start.x + (over.x - start.x) * 2 / 3, start.y + (over.y - start.y) * 2 / 3,
      end.x + (over.x - end.x) * 2 / 3, end.y + (over.y - end.y) * 2 / 3, end.x, end.y)
  }

  private func stroke(_ colour: Colour, _ width: Double) {
    use(colour)
    cairo_set_line_width(context, width)
    cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
    cairo_stroke(context)
  }

  private func use(_ colour: Colour) {
    cairo_set_source_rgba(context, colour.red, colour.green, colour.blue, colour.opacity)
  }
}
