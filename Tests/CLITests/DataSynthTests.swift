import CellData
import Foundation
import Testing

@testable import CLI

@Suite struct DataSynthTests {
  @Test func writesWhatIsAskedFor() throws {
    try withScratchDirectory { directory in
      let folder = directory + "/cells"
      try DataSynthCommand.parse([
        "--out", folder, "--images", "20", "--size", "16", "--grey", "--kinds", "2", "--seed", "3",
      ]).write()
      let dataset = try Dataset.load(path: folder)
      #expect(dataset.samples.count == 20 && dataset.classes == ["lymphocyte", "neutrophil"])
      let image = try ImageDecoder.decode(path: dataset.path(of: 0))
      #expect(image.width == 16 && image.height == 16 && image.channels == 1)
      #expect(FileManager.default.fileExists(atPath: folder + "/montage.png"))
    }
  }

  @Test(arguments: [
    ["--kinds", "1"], ["--kinds", "9"], ["--images", "5"], ["--size", "15"], ["--size", "4097"],
  ])
  func impossibleNumbersAreRefused(_ arguments: [String]) {
    #expect(throws: (any Error).self) { try DataSynthCommand.parse(["--out", "x"] + arguments) }
  }

  @Test func progressIsForWhatTakesLong() {
    var said: [String] = []
    var time = 0.0
    let progress = SlowProgress("images drawn", say: { said.append($0) }, now: { time })
    for (seconds, done) in [(1.9, 10), (2.1, 1234), (3.9, 1300), (4.2, 1400), (9, 3000)] {
      time = seconds
      progress.show(done, of: 3000)
    }
    #expect(said == ["1,234 of 3,000 images drawn", "1,400 of 3,000 images drawn"])
  }
}
