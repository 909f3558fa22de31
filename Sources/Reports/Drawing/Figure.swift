import Foundation
import Tensors

/// A part of a figure: a heat map, a chart, a table, …
package protocol Panel: Sendable {
  /// Stands above it; may be empty.
  var title: String { get }
  /// How wide it would like to be.
  var idealWidth: Double { get }
  /// How high it is where it has `width`, which is at most `idealWidth`.
  func height(width: Double) -> Double
  func draw(on canvas: Canvas, in frame: Rect)
}

/// A picture: a title, panels that flow in rows like words, and a caption. Narrow paper has fewer panels in a
/// row, and panels that are wider than the paper shrink, so that one figure serves a page and a telephone.
package struct Figure: Sendable {
  package var title: String
  package var panels: [any Panel]
  package var caption: String

  package init(_ title: String, _ panels: [any Panel], caption: String = "") {
    (self.title, self.panels, self.caption) = (title, panels, caption)
  }

  private static let margin = 18.0
  private static let gap = 26.0
  private static let titleSize = 19.0
  private static let panelTitleSize = 13.0
  private static let captionSize = 13.0
  /// How much wider than its panel a title may make its place, at most to this width.
  private static let titleRoom = 230.0

  /// A panel and where it stands.
  private struct Placed {
    let panel: any Panel
    let titleLines: [String]
    let frame: Rect
  }

  private func lines(_ text: String, _ size: Double, _ weight: TextWeight, _ width: Double) -> [String] {
    text.isEmpty ? [] : weight.lines(of: text, size: size, width: width)
  }

  private func layout(width: Double) -> (panels: [Placed], titleLines: [String], captionTop: Double) {
    let room = width - 2 * Self.margin
    let titleLines = lines(title, Self.titleSize, .bold, room)
    var y = Self.margin + Double(titleLines.count) * Self.titleSize * 1.25 + (titleLines.isEmpty ? 0 : 10)
    var placed: [Placed] = []
    var row: [(panel: any Panel, width: Double, slot: Double)] = []
    func closeRow() {
      let titles = row.map { lines($0.panel.title, Self.panelTitleSize, .bold, $0.slot) }
      let titleHeight = Double(titles.map(\.count).max() ?? 0) * Self.panelTitleSize * 1.3
      var (x, lowest) = (Self.margin, 0.0)
      for ((panel, width, slot), titleLines) in zip(row, titles) {
        let height = panel.height(width: width)
        placed.append(
          Placed(
            panel: panel, titleLines: titleLines,
            frame: Rect(x: x, y: y + titleHeight + (titleHeight > 0 ? 4 : 0), width: width, height: height)))
        x += slot + Self.gap
        lowest = max(lowest, height)
      }
      if !row.isEmpty { y += titleHeight + (titleHeight > 0 ? 4 : 0) + lowest + Self.gap }
      row = []
    }
    var used = 0.0
    for panel in panels {
      let wanted = min(panel.idealWidth, room)
      // A narrow panel leaves its title some room, so that few titles are broken.
      let titleWidth = TextWeight.bold.width(of: panel.title, size: Self.panelTitleSize) + 1
      let slot = min(room, max(wanted, min(titleWidth, Self.titleRoom)))
      if !row.isEmpty, used + slot > room + 0.5 {
        closeRow()
        used = 0
      }
      row.append((panel, wanted, slot))
      used += slot + Self.gap
    }
    closeRow()
    return (placed, titleLines, y - (placed.isEmpty ? 0 : Self.gap - 14))
  }

  /// The height that the figure has at a width.
  package func height(width: Double) -> Double {
    let captionLines = lines(caption, Self.captionSize, .regular, width - 2 * Self.margin)
    let top = layout(width: width).captionTop
    return (top + Double(captionLines.count) * Self.captionSize * 1.4 + Self.margin).rounded(.up)
  }

  /// Where each panel stands, titles left out, in the order of `panels`.
  package func frames(width: Double) -> [Rect] { layout(width: width).panels.map(\.frame) }

  /// Every text of the figure and the paper that it takes.
  package func texts(width: Double) -> [(text: String, frame: Rect)] {
    var texts: [(text: String, frame: Rect)] = []
    _ = Canvas.svg(width: width, height: height(width: width), theme: .light) { canvas in
      draw(on: canvas, width: width)
      texts = canvas.texts
    }
    return texts
  }

  private func draw(on canvas: Canvas, width: Double) {
    let (panels, titleLines, captionTop) = layout(width: width)
    for (number, line) in titleLines.enumerated() {
      canvas.text(
        line, at: Point(Self.margin, Self.margin + Self.titleSize * (0.85 + 1.25 * Double(number))),
        size: Self.titleSize, canvas.theme.ink, weight: .bold)
    }
    for placed in panels {
      let count = Double(placed.titleLines.count)
      for (number, line) in placed.titleLines.enumerated() {
        let below = (count - Double(number)) * Self.panelTitleSize * 1.3
        canvas.text(
          line, at: Point(placed.frame.x, placed.frame.y - 4 - below + Self.panelTitleSize),
          size: Self.panelTitleSize, canvas.theme.ink, weight: .bold)
      }
      placed.panel.draw(on: canvas, in: placed.frame)
    }
    let room = width - 2 * Self.margin
    for (number, line) in lines(caption, Self.captionSize, .regular, room).enumerated() {
      canvas.text(
        line, at: Point(Self.margin, captionTop + Self.captionSize * (1 + 1.4 * Double(number))),
        size: Self.captionSize, canvas.theme.faintInk)
    }
  }

  /// An SVG document; text is outlined.
  package func svg(width: Double = 900, theme: Theme = .light) -> [UInt8] {
    Canvas.svg(width: width, height: height(width: width), theme: theme) { draw(on: $0, width: width) }
  }

  /// A PNG of twice as many dots, so that it is sharp on today's screens and on paper; of fewer where it would be larger
  /// than cairo draws.
  package func png(width: Double = 900, theme: Theme = .light, scale: Double = 2) -> [UInt8] {
    let height = height(width: width)
    return Canvas.png(
      width: width, height: height, scale: min(scale, Self.mostDots / max(width, height)), theme: theme
    ) { draw(on: $0, width: width) }
  }

  /// On a side: cairo counts in 16 bits.
  private static let mostDots = 32_000.0

  /// Writes `NAME.svg` and `NAME.png` into a folder, which is made where it is missing; returns their paths.
  @discardableResult
  package func write(
    to folder: String, name: String, width: Double = 900, theme: Theme = .light
  ) throws(FileError) -> [String] {
    try PictureFolder.make(folder)
    let paths = ["svg", "png"].map { "\(folder)/\(name).\($0)" }
    try DurableFile.write(svg(width: width, theme: theme), to: paths[0], waitingForDisk: false)
    try DurableFile.write(png(width: width, theme: theme), to: paths[1], waitingForDisk: false)
    return paths
  }
}

package enum PictureFolder {
  /// Makes a folder and those above it. Throws `FileError`.
  package static func make(_ path: String) throws(FileError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      var isFolder = ObjCBool(false)
      let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      throw FileError(
        path: path, problem: exists && !isFolder.boolValue ? "is no folder" : "can't be made as a folder")
    }
  }
}
