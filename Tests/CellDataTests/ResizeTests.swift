import CellData
import Testing

struct ResizeTests {
  @Test func resizesAsPillowDoes() throws {
    let rows = try Golden.rows("resized.csv")
    #expect(rows.count == 14)
    for row in rows {
      let image = try ImageDecoder.decode(path: Golden.path(row[0]))
      let resized = Resize.resize(image, width: Int(row[1]) ?? 0, height: Int(row[2]) ?? 0)
      let expected = try Golden.bytes("\(row[0]).\(row[1])x\(row[2]).pixels")
      try #require(expected.count == resized.bytes.count)
      let worst = zip(expected, resized.bytes).map { abs(Int($0) - Int($1)) }.max() ?? 0
      #expect(worst <= 1, "\(row) is off by \(worst)")
    }
  }

  @Test func keepsEvenImagesEven() {
    for value: UInt8 in [0, 1, 127, 255] {
      let image = PixelImage(
        width: 31, height: 17, channels: 3, bytes: [UInt8](repeating: value, count: 31 * 17 * 3))
      #expect(Resize.resize(image, width: 7, height: 50).bytes.allSatisfy { $0 == value })
    }
  }

  @Test func mirrorsWithTheImage() {
    let image = patterned(width: 30, height: 20, channels: 1)
    let mirrored = PixelImage(width: 30, height: 20, channels: 1, bytes: image.bytes.reversed())
    let a = Resize.resize(image, width: 11, height: 9).bytes
    let b = Resize.resize(mirrored, width: 11, height: 9).bytes
    #expect(zip(a, b.reversed()).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
  }

  @Test func theShorterSideDecides() {
    #expect(Resize.extent(width: 360, height: 363, shorter: 72) == (72, 73))
    #expect(Resize.extent(width: 363, height: 360, shorter: 72) == (73, 72))
    #expect(Resize.extent(width: 10, height: 10, shorter: 72) == (72, 72))
    #expect(Resize.extent(width: 2, height: 5, shorter: 1) == (1, 2))  // 2.5 rounds to even
    #expect(Resize.extent(width: 2, height: 7, shorter: 1) == (1, 4))
  }
}
