import CellData
import Foundation
import Tensors
import Testing

struct SynthWriterTests {
  private let cells = SyntheticCells(seed: 8, size: 20, channels: 3, kinds: 6)

  @Test func folderHoldsWhatTheSourceDraws() throws {
    let folder = try TemporaryFolder()
    let rule = SplitRule(validation: 0.2, test: 0.2, seed: 11)
    let target = folder.path + "/a/cells"
    var seen: [Int] = []
    try SynthWriter(cells: cells, count: 60, rule: rule).write(to: target + "/") { seen.append($0) }
    #expect(seen == Array(1...60))

    let written = try Dataset.load(path: target, rule: SplitRule(validation: 0, test: 0, seed: 0))
    let drawn = cells.dataset(count: 60, rule: rule)
    #expect(written.classes == drawn.classes && written.samples.count == 60)
    #expect(written.counts(in: .val) == [Int](repeating: 2, count: 6))
    var indices = Set<Int>()
    for (place, sample) in written.samples.enumerated() {
      let kind = written.classes[sample.label]
      #expect(sample.path.hasPrefix("\(kind)/\(kind)_000") && sample.path.hasSuffix(".png"))
      let index = try #require(Int(sample.path.dropLast(4).suffix(5)))
      indices.insert(index)
      #expect(sample.label == drawn.samples[index].label && sample.split == drawn.samples[index].split)
      #expect(try ImageDecoder.decode(path: written.path(of: place)) == cells.image(index))
    }
    #expect(indices == Set(0..<60))
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/a")
    #expect(left == ["cells"])
  }

  @Test func montageShowsEachKindInARow() throws {
    let folder = try TemporaryFolder()
    let writer = SynthWriter(cells: cells, count: 17, rule: SplitRule())
    try writer.write(to: folder.path + "/cells")
    let montage = try ImageDecoder.decode(path: folder.path + "/cells/montage.png")
    #expect(montage == Montage.of(cells, count: 17))
    // Three pixels for one, two white ones between cells.
    #expect(montage.width == 2 + 3 * 62 && montage.height == 2 + 6 * 62)
    for index in 0..<18 {
      let image = cells.image(index)
      let (left, top) = (2 + index / 6 * 62, 2 + index % 6 * 62)
      for (x, y) in [(0, 0), (19, 19), (7, 12)] {
        let place = ((top + 3 * y + 1) * montage.width + left + 3 * x + 2) * 3
        let expected = index == 17 ? [255, 255, 255] : Array(image.bytes[((y * 20 + x) * 3)...].prefix(3))
        #expect(Array(montage.bytes[place..<(place + 3)]) == expected, "cell \(index)")
      }
    }
    #expect(montage.bytes.prefix(2 * 3 * montage.width).allSatisfy { $0 == 255 })
  }

  @Test func refusesWhatIsThere() throws {
    let folder = try TemporaryFolder()
    let writer = SynthWriter(cells: cells, count: 6, rule: SplitRule())
    try folder.write("mine", to: "cells/notes.txt")
    let full = #expect(throws: FileError.self) { try writer.write(to: folder.path + "/cells") }
    #expect(full?.description == folder.path + "/cells: the folder is not empty (it holds notes.txt)")
    let file = #expect(throws: FileError.self) { try writer.write(to: folder.path + "/cells/notes.txt") }
    #expect(file?.problem == "can't open the folder: Not a directory")
    try folder.write("mine", to: "b.partial/old.png")
    let half = #expect(throws: FileError.self) { try writer.write(to: folder.path + "/b") }
    #expect(
      half?.description == folder.path
        + "/b.partial: is left over from a data set that was not finished, or is being written")
    let under = #expect(throws: FileError.self) {
      try writer.write(to: folder.path + "/cells/notes.txt/deep/cells")
    }
    #expect(under != nil)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["b.partial", "cells"])

    try FileManager.default.createDirectory(
      atPath: folder.path + "/empty", withIntermediateDirectories: false)
    try writer.write(to: folder.path + "/empty")
    #expect(FileManager.default.fileExists(atPath: folder.path + "/empty/manifest.csv"))
  }
}
