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
      #expect(empty?.description.contains("no checkpoint yet") == true)
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
      #expect(try explain("transfer", "--run", run.path, "--out", folder).contains("only fc3 learns"))
    }
  }

  /// Weights of a file show what the run that they come from shows.
  @Test func takesWeightsOfAFileInThePlaceOfARun() throws {
    try inFolder { folder in
      let run = try TinyRun(in: folder)
      try DurableFile.write(
        try ExportedModel(run: run.path, weights: nil).safetensors(), to: "\(folder)/w.safetensors")
      try DurableFile.write(
        try ExportedModel(run: run.path, weights: nil).onnx(withNormalisation: true), to: "\(folder)/w.onnx")
      for topic in ["filters", "features"] {
        func numbers(_ arguments: String...) throws -> [String: [Double]] {
          let text = try ExplainCommand.parse([topic, "--out", folder, "--json"] + arguments).explain()
          return try JSONDecoder().decode([String: [Double]].self, from: Data(text.utf8))
        }
        let known = try numbers("--run", run.path)
        #expect(try numbers("--weights", "\(folder)/w.onnx") == known)
        let named = try numbers(
          "--model", "lenet5", "--weights", "\(folder)/w.safetensors", "--size", "16", "--channels", "3")
        // A file of weights doesn't say how images are normalised.
        if topic == "filters" { #expect(named == known) } else { #expect(named["probabilities"]?.count == 3) }
      }
      let error = #expect(throws: LessonError.self) {
        try explain("filters", "--model", "resnet18", "--weights", "\(folder)/w.safetensors", "--out", folder)
      }
      #expect(error?.description.contains("no array fc.weight") == true)
    }
    for arguments in [["filters", "--weights", "w.safetensors"], ["filters", "--weights", "best"]] {
      #expect(refusal { _ = try ExplainCommand.parse(arguments) } != "accepted")
    }
  }

  /// What is frozen is the run's, and frozen weights are those that it began with.
  @Test func transferReadsWhatARunFreezes() throws {
    try inFolder { folder in
      let run = try TinyRun(in: folder, ["transfer.freeze=[conv1]"])
      let text = try explain("transfer", "--run", run.path, "--out", folder)
      #expect(text.contains("conv1 begins frozen"))
      let json = try explain("transfer", "--run", run.path, "--out", folder, "--json")
      let numbers = try JSONDecoder().decode([String: [Double]].self, from: Data(json.utf8))
      #expect(numbers["frozen"] == [456])
      let moved = try #require(numbers["moved"])
      #expect(moved[0] == 0 && moved.dropFirst().allSatisfy { $0 > 0 })
    }
  }

  /// On a run's own test images, beside the run's own network.
  @Test func byHandTakesARunsImagesAndNetwork() throws {
    try inFolder { folder in
      let run = try TinyRun(in: folder)
      let text = try explain("by-hand", "--run", run.path, "--out", folder)
      #expect(text.contains("lenet5") && text.contains("9 test images") && text.contains("3 classes"))
      let json = try explain("by-hand", "--run", run.path, "--out", folder, "--json")
      let numbers = try JSONDecoder().decode([String: [Double]].self, from: Data(json.utf8))
      #expect(numbers["learned_accuracy"]?.first == run.summary.test?.accuracy)
    }
  }

  @Test func theSiteLoadsNothingFromElsewhereAndHasItsFiles() throws {
    try inFolder { folder in
      _ = try explain("all", "--out", folder, "--alone", "--cells", "60")
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
