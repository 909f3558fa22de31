import CellData
import Foundation
import Reports
import Tensors
import Testing

/// Pictures: what is in the files, where panels stand, and that no font is asked for.
@Suite struct DrawingTests {
  /// A panel of each kind.
  private var panels: [any Panel] {
    let curve = (0...20).map { Point(Double($0), Double($0 * $0)) }
    return [
      HeatMap("numbers", [-1, -1, -1, -1, 8, -1, -1, -1, -1], columns: 3, note: "a kernel that finds edges"),
      Chart(
        "curves",
        [
          .init("measured", curve, style: .lineAndPoints),
          .init("ideal", [Point(1, 1), Point(20, 20)], style: .ideal),
        ], x: Axis("ranks", .logarithmic, ticks: [1, 2, 4, 8, 16]), y: Axis("images/s", .logarithmic)),
      BarChart("bars", [.init("784,000 of a layer", 784_000, text: "784,000"), .init("9", 9, text: "9")]),
      ImageMontage(
        "cells", [.init(Raster([0, 1, 2, 3], width: 2, scale: .grey(0...3), theme: .light), "a cell")],
        columns: 4),
      BoxGraph("graph", [.init("conv"), .init("norm", inputs: [0]), .init("add", inputs: [1, 0])]),
      TablePanel("table", [["layer", "parameters"], ["conv1", "9,408"]]),
    ]
  }

  private func decoded(_ png: [UInt8]) throws -> PixelImage {
    try ImageDecoder.decode(bytes: png, named: "png")
  }

  @Test(arguments: [320.0, 900.0]) func panelsStayOnThePaperAndApart(width: Double) {
    let figure = Figure("A title that is much too long for one line of a telephone", panels)
    let frames = figure.frames(width: width)
    #expect(frames.count == panels.count)
    for (index, frame) in frames.enumerated() {
      #expect(frame.x >= 0 && frame.maxX <= width && frame.maxY <= figure.height(width: width))
      for other in frames.dropFirst(index + 1) {
        #expect(
          frame.maxX < other.x || other.maxX < frame.x || frame.maxY < other.y || other.maxY < frame.y,
          "\(frame) overlaps \(other)")
      }
    }
  }

  @Test func svgHasShapesForLettersAndNothingFromElsewhere() {
    let svg = String(
      decoding: Figure("Größe ∇ × α", panels, caption: "⟨Kx, y⟩ = ⟨x, Kᵀy⟩").svg(), as: UTF8.self)
    #expect(svg.contains("<path"))
    #expect(!svg.contains("<text") && !svg.contains("font") && !svg.contains("href=\"http"))
  }

  @Test func pngHasTwoDotsForEachPixelAndTheThemesPaper() throws {
    let figure = Figure("title", panels)
    for theme in Theme.allCases {
      let image = try decoded(figure.png(width: 640, theme: theme))
      #expect((image.width, image.height) == (1280, Int(2 * figure.height(width: 640))))
      let paper = image.bytes.prefix(3).map { Double($0) / 255 }
      #expect(abs(paper[0] - theme.background.red) < 0.01 && abs(paper[2] - theme.background.blue) < 0.01)
    }
  }

  /// A thousand bars are more dots high than cairo draws at two for a pixel.
  @Test func aPictureOfAnyHeightIsDrawn() throws {
    let bars = (0..<1300).map { BarChart.Bar("bar \($0)", Double($0), text: "\($0)") }
    let figure = Figure("", [BarChart("many", bars)])
    let image = try decoded(figure.png(width: 300))
    #expect(figure.height(width: 300) > 20_000 && image.height <= 32_767 && image.height > 31_900)
  }

  /// Cells of a heat map have the colours of their values, in cells drawn one by one and in a raster.
  @Test(arguments: [2, 60]) func heatMapsShowTheirValues(side: Int) throws {
    let values = (0..<(side * side)).map { $0 < side * side / 2 ? -1.0 : 1.0 }
    let map = HeatMap("", values, columns: side, digits: nil, cell: 240 / Double(side))
    let figure = Figure("", [map])
    let frame = figure.frames(width: 400)[0]
    let image = try decoded(figure.png(width: 400, scale: 1))
    for (part, value) in [(0.3, -1.0), (0.7, 1.0)] {
      let (x, y) = (Int(frame.x + 90), Int(frame.y + 240 * part))
      let wanted = map.scale.colour(of: value, .light)
      let got = image.bytes[((y * image.width + x) * 3)...].prefix(3).map { Double($0) / 255 }
      #expect(
        abs(got[0] - wanted.red) < 0.02 && abs(got[1] - wanted.green) < 0.02
          && abs(got[2] - wanted.blue) < 0.02)
    }
  }

  /// Boxes stand below their inputs; those that would meet share what they wish for; none leaves the room.
  @Test func boxesStandBelowTheirInputs() {
    #expect(BoxGraph.places(of: [10, 10], around: [20, 60], gap: 5, in: 0...100) == [15, 55])
    #expect(BoxGraph.places(of: [10, 10], around: [50, 50], gap: 10, in: 0...100) == [35, 55])
    #expect(BoxGraph.places(of: [20, 20], around: [5, 95], gap: 5, in: 0...100) == [0, 80])
    #expect(BoxGraph.places(of: [20, 20], around: [95, 95], gap: 5, in: 0...100) == [55, 80])
  }

  @Test func lettersHaveOutlines() {
    for weight in [TextWeight.regular, .bold] {
      let unknown = "Größe ÷ Łódź Ψυχή Клетка 0123456789 −×≤≥→⟨⟩∗".unicodeScalars.filter {
        !weight.outlines.has($0)
      }
      #expect(unknown.isEmpty)
      #expect(weight.width(of: "ii", size: 10) < weight.width(of: "mm", size: 10))
    }
    // DejaVu Sans: H is 1,540 of 2,048 wide.
    #expect(abs(TextWeight.regular.width(of: "H", size: 2048) - 1540) <= 2)
  }

  @Test func linesAreNoWiderThanTheRoom() {
    let text = "a kernel slides over the image\nunbreakablewordthatislongerthantheline and more"
    let lines = TextWeight.regular.lines(of: text, size: 12, width: 120)
    #expect(lines.allSatisfy { TextWeight.regular.width(of: $0, size: 12) <= 120 })
    #expect(lines.joined().filter { $0 != " " } == text.filter { $0 != " " && $0 != "\n" })
  }

  @Test func numbersHaveATrueMinusAndNoNegativeZero() {
    #expect(HeatMap.text(-1.25, digits: 1) == "−1.2")
    #expect(HeatMap.text(-0.04, digits: 1) == "0.0")
  }

  @Test func filesAreWrittenAndAFileInTheWayIsNamed() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/drawing-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let paths = try Figure("t", panels).write(to: folder + "/deep", name: "picture")
    #expect(paths.map { FileManager.default.fileExists(atPath: $0) } == [true, true])
    let error = #expect(throws: FileError.self) { try Figure("t", []).write(to: paths[0], name: "x") }
    #expect(error?.description.contains("picture.svg") == true)
  }

  /// Neighbours among the colours of curves stay apart for people without red or green cones (after Viénot 1999).
  @Test(arguments: Theme.allCases) func coloursStayApartForColourBlindPeople(theme: Theme) {
    func seen(_ colour: Colour) -> [Double] {
      let (r, g, b) = (pow(colour.red, 2.2), pow(colour.green, 2.2), pow(colour.blue, 2.2))
      return [0.293 * r + 0.707 * g, b].map { pow($0, 1 / 2.2) }
    }
    let series = theme.series.prefix(4).map(seen)
    for index in series.indices {
      for other in series.dropFirst(index + 1) {
        #expect(hypot(series[index][0] - other[0], series[index][1] - other[1]) > 0.08)
      }
    }
  }
}
