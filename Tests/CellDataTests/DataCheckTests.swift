import CellData
import Foundation
import Tensors
import Testing

struct DataCheckTests {
  /// 24 images of which three are bad.
  private func badFolder() throws -> (folder: TemporaryFolder, dataset: Dataset) {
    let folder = try TemporaryFolder()
    var samples: [Sample] = []
    for index in 0..<24 {
      let name = String(format: "%02d.png", index)
      let image = patterned(width: 20 + index, height: 30, channels: index % 4 == 0 ? 1 : 3, salt: index)
      var bytes = image.png()
      switch index {
      case 5: bytes = [0, 0, 0, 0]
      case 11: bytes.removeLast(bytes.count / 2)
      case 12: bytes = []
      default: break
      }
      try folder.write(bytes, to: name)
      samples.append(Sample(path: name, label: 0, split: index < 20 ? .train : .test))
    }
    return (folder, Dataset(root: folder.path, classes: ["x"], samples: samples))
  }

  @Test func findsBadImagesHoweverItIsShared() throws {
    let (folder, dataset) = try badFolder()
    let preparation = ImagePreparation(channels: 3, size: 16)
    let check = DataCheck(dataset: dataset, preparation: preparation, level: .full)
    let whole = check.check(0..<24)
    #expect(whole.checked == 24)
    #expect(whole.bad.map(\.sample) == [5, 11, 12])
    #expect(
      whole.bad[0].error.description == "05.png: not a PNG, JPEG or TIFF image (first bytes 00 00 00 00)")
    #expect(whole.bad[1].error.description.hasPrefix("11.png: damaged or cut short PNG"))
    #expect(whole.bad[2].error.description == "12.png: the file is empty (0 bytes)")
    #expect(whole.conversions == ConversionCounts(greyToRGB: 5))
    #expect(whole.extents?.width == 20...43 && whole.extents?.height == 30...30)

    let source = FolderSource(dataset: dataset, preparation: preparation)
    var statistics = ChannelStatistics(channels: 3)
    for index in 0..<20 where ![5, 11, 12].contains(index) { statistics.add(try source.load(index)) }
    #expect(whole.statistics == statistics)

    for shares in [2, 3, 5] {
      var merged = CheckPart(channels: 3)
      for share in (0..<shares).reversed() {
        merged.merge(check.check(check.range(of: share, of: shares), threads: 2))
      }
      #expect(merged == whole)
    }
    #expect(try JSONDecoder().decode(CheckPart.self, from: JSONEncoder().encode(whole)) == whole)
    withExtendedLifetime(folder) {}
  }

  @Test func handsOutWhatItDecoded() throws {
    let (folder, dataset) = try badFolder()
    let preparation = ImagePreparation(channels: 3, size: 16)
    let source = FolderSource(dataset: dataset, preparation: preparation)
    let cache = ImageCache(source, budgetBytes: 1 << 20)
    _ = DataCheck(dataset: dataset, preparation: preparation, level: .full).check(0..<5, threads: 2) {
      cache.keep($0, $1)
    }
    for index in 0..<5 { #expect(try cache.load(index) == source.load(index)) }
    #expect(cache.counts == ImageCache.Counts(loaded: 0, reused: 5))
    withExtendedLifetime(folder) {}
  }

  @Test func headersFindLessAndOffNothing() throws {
    let (folder, dataset) = try badFolder()
    let preparation = ImagePreparation(channels: 3, size: 16)
    let headers = DataCheck(dataset: dataset, preparation: preparation, level: .headers).check(0..<24)
    #expect(headers.bad.map(\.sample) == [5, 12])
    #expect(headers.conversions == ConversionCounts(greyToRGB: 5))
    #expect(headers.statistics.normalisation == nil)
    let off = DataCheck(dataset: dataset, preparation: preparation, level: .off).check(0..<24)
    #expect(off == CheckPart(channels: 3))
    let grey = ImagePreparation(channels: 1, size: 16)
    let asGrey = DataCheck(dataset: dataset, preparation: grey, level: .headers).check(0..<3)
    #expect(
      asGrey.bad.map(\.error)
        == ["01.png", "02.png"].map {
          ImageError(path: $0, problem: "3 channels can't become the configured 1")
        })
    withExtendedLifetime(folder) {}
  }

  /// Larger than what is read for the headers, with the second page at the end.
  @Test func headersSeeAllPagesOfLargeFiles() throws {
    let folder = try TemporaryFolder()
    try folder.write(twoPages(secondAt: 100_000), to: "a.tif")
    let random = RandomStream(seed: 1, purpose: .test(3))
    let noise = (0..<300 * 300).map { UInt8(truncatingIfNeeded: random.word(at: $0)) }
    let bytes = PixelImage(width: 300, height: 300, channels: 1, bytes: noise).png()
    #expect(bytes.count > 1 << 16)
    try folder.write(bytes, to: "b.png")
    let samples = ["a.tif", "b.png"].map { Sample(path: $0, label: 0, split: .train) }
    let part = DataCheck(
      dataset: Dataset(root: folder.path, classes: ["x"], samples: samples),
      preparation: ImagePreparation(channels: 3, size: 16), level: .headers
    ).check(0..<2)
    #expect(part.bad.isEmpty && part.multiPage == 1)
    #expect(part.extents?.width == 1...300)
  }

  /// A TIFF of two pages of one grey pixel.
  private func twoPages(secondAt place: Int) -> [UInt8] {
    func directory(next: Int) -> [UInt8] {
      let tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (277, 1), (278, 1), (279, 1)]
      let entries = tags.flatMap { tag, value in
        number(tag, 2) + number(4, 2) + number(1, 4) + number(value, 4)
      }
      return number(tags.count, 2) + entries + number(next, 4)
    }
    func number(_ value: Int, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    let start = Array("II*\0".utf8) + number(8, 4) + directory(next: place)
    return start + [UInt8](repeating: 0, count: place - start.count) + directory(next: 0)
  }

  @Test func policyStopsOrSkips() throws {
    let (folder, dataset) = try badFolder()
    let part = DataCheck(
      dataset: dataset, preparation: ImagePreparation(channels: 3, size: 16), level: .headers
    ).check(0..<24)
    let error = #expect(throws: BadImagesError.self) { try part.apply(.stop, to: dataset) }
    #expect(
      error?.description
        == "\(folder.path): 2 of 24 images can't be used:\n"
        + "  05.png: not a PNG, JPEG or TIFF image (first bytes 00 00 00 00)\n  12.png: the file is empty (0 bytes)"
    )
    let rest = try part.apply(.skip, to: dataset)
    #expect(rest.samples.count == 22 && !rest.samples.contains { $0.path == "05.png" || $0.path == "12.png" })
    #expect(try CheckPart(channels: 3).apply(.stop, to: dataset) == dataset)
  }

  @Test func resultsAreKeptUntilAFileChanges() throws {
    let (folder, dataset) = try badFolder()
    let preparation = ImagePreparation(channels: 3, size: 16)
    let check = DataCheck(dataset: dataset, preparation: preparation, level: .full)
    let key = CheckRecord.key(of: check)
    let part = check.check(0..<24)
    let file = folder.path + "/check.json"
    #expect(CheckRecord.read(file, key: key) == nil)
    try CheckRecord(key: key, part: part).write(to: file)
    #expect(CheckRecord.read(file, key: CheckRecord.key(of: check)) == part)
    for other in [
      DataCheck(dataset: dataset, preparation: ImagePreparation(channels: 3, size: 15), level: .full),
      DataCheck(dataset: dataset, preparation: preparation, level: .headers),
      DataCheck(dataset: dataset.leavingOut([0]), preparation: preparation, level: .full),
    ] { #expect(CheckRecord.key(of: other) != key) }
    try folder.write(patterned(width: 5, height: 5, channels: 1).png(), to: "05.png")
    let changed = CheckRecord.key(of: check)
    #expect(changed != key && CheckRecord.read(file, key: changed) == nil)
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: folder.path + "/05.png")
    #expect(CheckRecord.key(of: check) != changed)
    try folder.write("{", to: "check.json")
    #expect(CheckRecord.read(file, key: key) == nil)
  }

  @Test func gathersStatisticsOfAnySource() throws {
    let source = PatternSource(count: 9, side: 12, bad: [7, 5])
    var expected = ChannelStatistics(channels: 3)
    for index in 0..<5 { expected.add(try source.load(index)) }
    for threads in 1...3 {
      #expect(
        try ChannelStatistics.gather(source, images: Array(0..<5), channels: 3, threads: threads) == expected)
      #expect(throws: ImageError(path: "5", problem: "is bad")) {
        try ChannelStatistics.gather(source, images: Array(0..<9), channels: 3, threads: threads)
      }
    }
  }
}
