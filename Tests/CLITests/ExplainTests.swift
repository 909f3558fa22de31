import CellData
import Foundation
import Reports
import Tensors
import Testing
import Training

@testable import CLI

/// `explain`: files, pages, and what it says to bad input.
@Suite struct ExplainTests {
  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/explain-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func explain(_ arguments: String...) throws -> String {
    try ExplainCommand.parse(arguments).explain()
  }

  @Test func listsTopicsWithASentenceEach() throws {
    let text = try explain()
    for topic in Lessons.topics {
      #expect(text.contains("  \(topic.name) ") && text.contains(topic.sentence))
    }
  }

  @Test func writesAPictureTwice() throws {
    try inFolder { folder in
      let text = try explain(
        "output-size", "--out", folder, "--size", "224", "--kernel", "7", "--stride", "2", "--padding", "3")
      #expect(text.contains("112") && text.contains("\(folder)/output-size.png"))
      let image = try ImageDecoder.decode(path: "\(folder)/output-size.png")
      #expect(image.width == 1800)
      #expect(FileManager.default.fileExists(atPath: "\(folder)/output-size.svg"))
    }
  }

  @Test func takesTheUsersImage() throws {
    try inFolder { folder in
      let black = PixelImage(width: 20, height: 24, channels: 1, bytes: Array(repeating: 0, count: 480))
      try DurableFile.write(black.png(), to: "\(folder)/black.png")
      let text = try explain("equivariance", "--image", "\(folder)/black.png", "--out", folder)
      #expect(text.contains("black.png"))
      try DurableFile.write([1, 2, 3], to: "\(folder)/broken.png")
      let error = #expect(throws: ImageError.self) {
        try explain("equivariance", "--image", "\(folder)/broken.png", "--out", folder)
      }
      #expect(error?.description.contains("broken.png") == true)
    }
  }

  @Test func aRunWithoutWeightsIsNamed() throws {
    try inFolder { folder in
      let missing = #expect(throws: RunDirectoryError.self) {
        try explain("filters", "--run", folder, "--out", folder)
      }
      #expect(missing?.description.contains("config.yaml") == true)
      try DurableFile.write(Array("seed: 1\n".utf8), to: "\(folder)/config.yaml")
      let empty = #expect(throws: RunDirectoryError.self) {
        try explain("filters", "--run", folder, "--out", folder)
      }
      #expect(empty?.description.contains("no weights yet") == true)
    }
  }

  @Test func showsWhatARunHasLearned() throws {
    try inFolder { folder in
      let run = try TinyRun(in: folder)
      let filters = try explain("filters", "--run", run.path, "--out", folder)
      #expect(filters.contains("the 6 filters of conv1, 5×5 over 3 channels"))
      let numbers = try explain("features", "--run", run.path, "--out", folder, "--json")
      let told = try JSONDecoder().decode([String: [Double]].self, from: Data(numbers.utf8))
      let probabilities = try #require(told["probabilities"])
      #expect(probabilities.count == 3 && abs(probabilities.reduce(0, +) - 1) < 1e-4)
      #expect(try explain("transfer", "--run", run.path, "--out", folder).contains("only the head (fc3)"))
    }
  }

  @Test func theSiteLoadsNothingFromElsewhereAndHasItsFiles() throws {
    try inFolder { folder in
      _ = try explain("all", "--out", folder)
      for topic in Lessons.topics where !topic.needsRun {
        let page = try String(contentsOfFile: "\(folder)/\(topic.name).html", encoding: .utf8)
        #expect(!page.contains("http:") && !page.contains("https:") && !page.contains("//cdn"))
        for name in page.matches(of: /(?:src|srcset|href)="([^"#:]+)"/).map({ String($0.1) }) {
          #expect(FileManager.default.fileExists(atPath: "\(folder)/\(name)"), "\(topic.name) names \(name)")
        }
      }
      #expect(FileManager.default.fileExists(atPath: "\(folder)/index.html"))
    }
  }
}
