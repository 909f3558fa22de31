import CellData
import Tensors
import Testing

struct DecodingTests {
  @Test func decodesAsPillowDoes() throws {
    let rows = try Golden.rows("images.csv")
    #expect(rows.count > 40)
    for row in rows {
      let image = try ImageDecoder.decode(path: Golden.path(row[0]))
      #expect([image.width, image.height, image.channels].map(String.init) == Array(row[1...3]), "\(row[0])")
      let expected = try Golden.bytes(row[0] + ".pixels")
      try #require(expected.count == image.bytes.count, "\(row[0])")
      let worst = zip(expected, image.bytes).map { abs(Int($0) - Int($1)) }.max() ?? 0
      #expect(worst <= Int(row[4]) ?? 0, "\(row[0]) is off by \(worst)")
    }
  }

  @Test func headersTellWhatDecodingGives() throws {
    for row in try Golden.rows("images.csv") {
      let bytes = try Golden.bytes(row[0])
      let info = try ImageDecoder.info(of: bytes, named: row[0])
      #expect([info.width, info.height, info.channels].map(String.init) == Array(row[1...3]), "\(row[0])")
      #expect(info.pages == (row[0] == "pages.tif" ? 3 : 1))
    }
    #expect(try ImageDecoder.info(of: Golden.bytes("refused-16bit.png"), named: "a").bitDepth == 16)
    #expect(try ImageDecoder.info(of: Golden.bytes("refused-16bit.tif"), named: "a").bitDepth == 16)
    #expect(try ImageDecoder.info(of: Golden.bytes("bits4.png"), named: "a").bitDepth == 4)
  }

  @Test func writtenPNGsComeBack() throws {
    for channels in [1, 3] {
      let image = patterned(width: 37, height: 11, channels: channels)
      #expect(try ImageDecoder.decode(bytes: image.png(), named: "a.png") == image)
    }
  }

  @Test func refusesWithAReason() throws {
    #expect(problem([0, 0, 0, 0, 9]) == "not a PNG, JPEG or TIFF image (first bytes 00 00 00 00)")
    #expect(problem([0xff, 0xd8]) == "not a PNG, JPEG or TIFF image (first bytes ff d8)")
    #expect(problem([]) == "the file is empty (0 bytes)")
    #expect(problem(try Golden.bytes("refused-16bit.png")) == "16-bit images are not supported yet")
    #expect(problem(try Golden.bytes("refused-16bit.tif")) == "16-bit images are not supported yet")
    #expect(problem(try Golden.bytes("refused-float.tif")) == "32-bit images are not supported yet")
    #expect(problem(try Golden.bytes("refused-cmyk.jpg")) == "a JPEG in CMYK colours; save it as RGB")
    #expect(problem(try Golden.bytes("refused-cmyk.tif"))?.hasPrefix("a TIFF of photometric kind 5") == true)
  }

  @Test func refusesWhatIsNotAFile() throws {
    let folder = try TemporaryFolder()
    #expect(throws: ImageError(path: folder.path, problem: "is not a file")) {
      try ImageDecoder.decode(path: folder.path)
    }
    #expect(throws: ImageError(path: folder.path + "/no", problem: "can't open: No such file or directory")) {
      try ImageDecoder.decode(path: folder.path + "/no")
    }
    let error = #expect(throws: ImageError.self) { try ImageDecoder.decode(path: "a\0b") }
    #expect(error?.problem == "the path holds a zero byte")
  }

  @Test func refusesAbsurdDimensionsBeforeAllocating() throws {
    var png = try Golden.bytes("rgb.png")
    png.replaceSubrange(16..<24, with: [0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff])
    withRightChecksum(&png)
    #expect(problem(png) == "2147483647 x 2147483647 pixels are more than the limit of 100000000")
    png.replaceSubrange(16..<24, with: [0, 0, 0, 0, 0, 0, 0, 5])
    withRightChecksum(&png)
    #expect(problem(png) == "damaged or cut short PNG (Invalid IHDR data)")

    var jpeg = try Golden.bytes("grey.jpg")
    let frame = try #require(jpeg.indices.first { jpeg[$0] == 0xff && jpeg[$0 + 1] == 0xc0 })
    jpeg.replaceSubrange((frame + 5)..<(frame + 9), with: [0xff, 0xdc, 0xff, 0xdc])
    #expect(problem(jpeg) == "65500 x 65500 pixels are more than the limit of 100000000")

    var tiff = try Golden.bytes("white-is-zero.tif")
    let directory = Int(tiff[4]) | Int(tiff[5]) << 8
    tiff.replaceSubrange((directory + 10)..<(directory + 14), with: [0xff, 0xff, 0xff, 0x7f])
    tiff.replaceSubrange((directory + 22)..<(directory + 26), with: [0xff, 0xff, 0xff, 0x7f])
    #expect(problem(tiff) == "2147483647 x 2147483647 pixels are more than the limit of 100000000")

    #expect(problem(try Golden.bytes("rgb.png"), pixelLimit: 21 * 13) == nil)
    #expect(
      problem(try Golden.bytes("rgb.png"), pixelLimit: 21 * 13 - 1)
        == "21 x 13 pixels are more than the limit of 272")
  }

  /// Every file, cut at every length: never an image, never a crash. A TIFF may end in bytes that the
  /// first page doesn't need, a PNG or JPEG may not.
  @Test func truncatedDataAreErrors() throws {
    for row in try Golden.rows("images.csv") {
      let bytes = try Golden.bytes(row[0])
      let whole = try ImageDecoder.decode(bytes: bytes, named: row[0])
      for length in stride(from: 0, to: bytes.count, by: row[0].hasSuffix(".tif") ? 3 : 1) {
        let image = try? ImageDecoder.decode(bytes: Array(bytes[..<length]), named: row[0])
        #expect(image == nil || (row[0].hasSuffix(".tif") && image == whole), "\(row[0]) cut at \(length)")
      }
    }
  }

  /// A few bytes changed anywhere: an image or an error with one line of text, never a crash.
  @Test func survivesDamagedFiles() throws {
    var decoded = 0
    var refused = 0
    for (number, row) in try Golden.rows("images.csv").enumerated() {
      let bytes = try Golden.bytes(row[0])
      for trial in 0..<120 {
        let random = RandomStream(seed: 7, purpose: .test(1), epoch: number, position: trial)
        var damaged = bytes
        for change in 0...random.integer(at: 0, below: 4) {
          let place = random.integer(at: 2 * change + 1, below: damaged.count)
          damaged[place] = UInt8(truncatingIfNeeded: random.word(at: 2 * change + 2))
        }
        if row[0].hasSuffix(".png") { withRightChecksum(&damaged) }
        do {
          let image = try ImageDecoder.decode(bytes: damaged, named: row[0], pixelLimit: 1 << 20)
          #expect(image.bytes.count == image.width * image.height * image.channels)
          decoded += 1
        } catch {
          #expect(!error.problem.isEmpty && error.problem.utf8.allSatisfy { $0 >= 32 && $0 < 127 })
          refused += 1
        }
      }
    }
    #expect(
      decoded > 500 && refused > 500,
      "the damage should sometimes be seen: \(decoded) decoded, \(refused) not")
  }

  @Test func randomBytesAreRefused() throws {
    let starts: [[UInt8]] = [
      [], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], [0xff, 0xd8, 0xff], [0x49, 0x49, 0x2a, 0],
      [0x4d, 0x4d, 0, 0x2a, 0, 0, 0, 8], [0x49, 0x49, 0x2b, 0, 8, 0, 0, 0],
    ]
    for trial in 0..<1000 {
      let random = RandomStream(seed: 8, purpose: .test(2), position: trial)
      let noise = (0..<random.integer(at: 0, below: 300)).map {
        UInt8(truncatingIfNeeded: random.word(at: $0 + 1))
      }
      #expect(problem(starts[trial % starts.count] + noise, pixelLimit: 1 << 20) != nil)
    }
  }

  @Test func channelsBecomeTheConfiguredOnes() throws {
    func convert(_ channels: Int, to wanted: Int, _ bytes: [UInt8]) -> ([UInt8], ConversionCounts)? {
      guard let conversion = ChannelConversion(from: channels, to: wanted) else { return nil }
      let image = PixelImage(width: 2, height: 1, channels: channels, bytes: bytes)
      return (conversion.apply(to: image).bytes, conversion.counts)
    }
    let greyToRGB = ConversionCounts(greyToRGB: 1)
    let alphaDropped = ConversionCounts(alphaDropped: 1)
    #expect(try #require(convert(1, to: 1, [5, 9])) == ([5, 9], ConversionCounts()))
    #expect(try #require(convert(1, to: 3, [5, 9])) == ([5, 5, 5, 9, 9, 9], greyToRGB))
    #expect(try #require(convert(2, to: 1, [5, 1, 9, 2])) == ([5, 9], alphaDropped))
    #expect(
      try #require(convert(2, to: 3, [5, 1, 9, 2]))
        == ([5, 5, 5, 9, 9, 9], ConversionCounts(greyToRGB: 1, alphaDropped: 1)))
    #expect(try #require(convert(3, to: 3, [1, 2, 3, 4, 5, 6])) == ([1, 2, 3, 4, 5, 6], ConversionCounts()))
    #expect(try #require(convert(4, to: 3, [1, 2, 3, 0, 4, 5, 6, 0])) == ([1, 2, 3, 4, 5, 6], alphaDropped))
    #expect(convert(3, to: 1, [1, 2, 3, 4, 5, 6]) == nil)
    #expect(convert(4, to: 1, [1, 2, 3, 0, 4, 5, 6, 0]) == nil)
  }

  private func problem(_ bytes: [UInt8], pixelLimit: Int = ImageDecoder.defaultPixelLimit) -> String? {
    do {
      _ = try ImageDecoder.decode(bytes: bytes, named: "a", pixelLimit: pixelLimit)
      return nil
    } catch { return error.problem }
  }
}

/// Puts the right checksums into the chunks of a PNG, so that damage reaches the decoder behind them.
func withRightChecksum(_ png: inout [UInt8]) {
  var at = 8
  while at + 12 <= png.count {
    let length = png[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
    guard length <= png.count - at - 12 else { return }
    var sum: UInt32 = 0xffff_ffff
    for byte in png[(at + 4)..<(at + 8 + length)] {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xedb8_8320 : sum >> 1 }
    }
    sum = ~sum
    for i in 0..<4 { png[at + 8 + length + i] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * i)) }
    at += 12 + length
  }
}
