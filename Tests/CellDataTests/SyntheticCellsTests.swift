import CellData
import Tensors
import Testing

struct SyntheticCellsTests {
  private func hash(_ cells: SyntheticCells, images: Range<Int>) -> String {
    var hasher = ContentHasher()
    for index in images { cells.image(index).bytes.withUnsafeBytes { hasher.update($0) } }
    return hasher.finish().description
  }

  @Test func imagesAreFunctionsOfSeedAndIndex() {
    let cells = SyntheticCells(seed: 5, size: 24, channels: 3, kinds: 8)
    let forwards = (0..<16).map { cells.image($0) }
    let backwards = (0..<16).reversed().map { cells.image($0) }
    #expect(forwards == backwards.reversed())
    for a in 0..<16 { for b in 0..<a { #expect(forwards[a] != forwards[b]) } }
    for seed: UInt64 in [6, 5 + 1 << 32] {
      let other = SyntheticCells(seed: seed, size: 24, channels: 3, kinds: 8)
      for index in 0..<8 { #expect(other.image(index) != forwards[index], "seed \(seed)") }
    }
  }

  /// The same bits as on the machine where this was written, whatever processor and C library this is. A
  /// change of the drawing changes them, and with them the accuracy in the header of the default config.
  @Test func bitsStayTheSame() {
    #expect(
      hash(SyntheticCells(seed: 42, size: 32, channels: 3, kinds: 8), images: 0..<32)
        == "f4fe8fb0f3020eb013f4fe276e1dfccc")
  }

  @Test func blocksHoldTheWordsOfTheStream() {
    let stream = RandomStream(seed: 3, purpose: .synthesis, epoch: 2, position: 9)
    for index in 0..<40 { #expect(stream.words(ofBlock: index / 4)[index % 4] == stream.word(at: index)) }
  }

  @Test(arguments: [16, 17, 28, 63, 96], [1, 3]) func anySize(size: Int, channels: Int) {
    let cells = SyntheticCells(seed: 1, size: size, channels: channels, kinds: 6)
    for index in 0..<6 {
      let image = cells.image(index)
      #expect(image.width == size && image.height == size && image.channels == channels)
      #expect(Set(image.bytes).count > 40, "a picture, not a plane")
    }
  }

  @Test func greyIsTheLuminanceOfRGB() {
    let colour = SyntheticCells(seed: 3, size: 48, channels: 3, kinds: 6)
    let grey = SyntheticCells(seed: 3, size: 48, channels: 1, kinds: 6)
    for index in 0..<6 {
      let rgb = colour.image(index).bytes
      for (place, level) in grey.image(index).bytes.enumerated() {
        let luminance =
          0.299 * Float(rgb[3 * place]) + 0.587 * Float(rgb[3 * place + 1]) + 0.114
          * Float(rgb[3 * place + 2])
        // Where a channel is cut off at 255 or 0, its noise is missing.
        let cut = (0..<3).contains { [0, 255].contains(rgb[3 * place + $0]) }
        #expect(cut || abs(Float(level) - luminance) <= 1.01)
      }
    }
  }

  @Test func kindsTakeTurns() {
    for kinds in 2...8 {
      let cells = SyntheticCells(seed: 1, size: 16, channels: 1, kinds: kinds)
      #expect(cells.kindNames.count == kinds && Set(cells.kindNames).count == kinds)
      #expect(cells.kindNames == cells.kindNames.sorted())
      var counts = [Int](repeating: 0, count: kinds)
      for index in 0..<(10 * kinds) { counts[cells.label(index)] += 1 }
      #expect(counts == [Int](repeating: 10, count: kinds))
    }
    #expect(
      SyntheticCells(seed: 1, size: 16, channels: 1, kinds: 6).kindNames
        == ["basophil", "eosinophil", "erythroblast", "lymphocyte", "monocyte", "neutrophil"])
  }

  /// What a haematologist sees without a microscope: how much of the picture is dark, and how red it is.
  @Test func kindsLookAsTheyShould() throws {
    let cells = SyntheticCells(seed: 9, size: 32, channels: 3, kinds: 8)
    var dark = [Float](repeating: 0, count: 8)
    var red = [Float](repeating: 0, count: 8)
    let each = 24
    for index in 0..<(8 * each) {
      let bytes = cells.image(index).bytes
      for pixel in 0..<(32 * 32) where Self.isCentral(pixel, side: 32) {
        let (r, g, b) = (bytes[3 * pixel], bytes[3 * pixel + 1], bytes[3 * pixel + 2])
        if r < 130 { dark[cells.label(index)] += 1 / Float(each) }
        if Int(r) > Int(b) + 15, g < 150 { red[cells.label(index)] += 1 / Float(each) }
      }
    }
    func value(_ values: [Float], _ kind: CellKind) throws -> Float {
      values[try #require(cells.kinds.firstIndex(of: kind))]
    }
    let nuclei = try CellKind.allCases.map { try value(dark, $0) }
    #expect(
      try value(dark, .platelet) == nuclei.min() && value(dark, .platelet) < 0.3 * value(dark, .neutrophil))
    #expect(try value(dark, .erythroblast) < 0.8 * value(dark, .lymphocyte))
    #expect(try value(dark, .monocyte) > 1.2 * value(dark, .lymphocyte))
    let redness = try CellKind.allCases.map { try value(red, $0) }
    #expect(
      try value(red, .eosinophil) == redness.max() && value(red, .eosinophil) > 2 * value(red, .basophil))
  }

  private static func isCentral(_ pixel: Int, side: Int) -> Bool {
    let x = pixel % side - side / 2
    let y = pixel / side - side / 2
    return x * x + y * y < side * side / 8
  }

  @Test func sourceGivesWhatAFileGives() throws {
    let preparation = ImagePreparation(channels: 3, size: 32)
    let source = SynthSource(seed: 4, count: 8, kinds: 6, preparation: preparation)
    #expect(source.cells.size == 36, "drawn as large as it is kept, not resized")
    let folder = try TemporaryFolder()
    for index in 0..<8 { try folder.write(source.cells.image(index).png(), to: "cell/\(index).png") }
    let files = FolderSource(dataset: try Dataset.load(path: folder.path), preparation: preparation)
    for index in 0..<8 {
      let image = try source.load(index)
      #expect(image.width == 36 && image.height == 36)
      #expect(try files.load(index) == image)
    }
    let small = SynthSource(
      seed: 4, count: 6, kinds: 6, preparation: ImagePreparation(channels: 1, size: 8))
    #expect(try small.load(0).width == 9)
  }

  @Test func datasetKeepsIndexAndBalance() {
    let rule = SplitRule(validation: 0.15, test: 0.15, seed: 3)
    let source = SynthSource(
      seed: 4, count: 1200, kinds: 6, preparation: ImagePreparation(channels: 1, size: 16))
    let dataset = source.dataset(rule: rule)
    #expect(dataset.classes == source.cells.kindNames && dataset.samples.count == 1200)
    for (index, sample) in dataset.samples.enumerated() { #expect(sample.label == source.cells.label(index)) }
    #expect(dataset.samples[12].path == "synthetic/000012")
    #expect(dataset.counts(in: .train) == [Int](repeating: 140, count: 6))
    #expect(dataset.counts(in: .val) == [Int](repeating: 30, count: 6))
    #expect(dataset.counts(in: .test) == [Int](repeating: 30, count: 6))
  }
}
