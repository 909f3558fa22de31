import Foundation
import Testing
import Training

@testable import CLI

@Suite struct PredictTests {
  private func predict(_ arguments: [String]) throws -> Predictions {
    guard let predictions = try PredictCommand.parse(arguments).predict(try TinyRun.alone()) else {
      throw RunError("rank 0 expects predictions")
    }
    return predictions
  }

  /// A run, and its test images as a flat folder, by the name of their kind.
  private func withRun(_ body: (TinyRun, _ images: String) throws -> Void) throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      try TinyRun.writeCells(to: directory + "/cells")
      try FileManager.default.createDirectory(
        atPath: directory + "/images/deeper", withIntermediateDirectories: true)
      let manifest = try String(contentsOfFile: directory + "/cells/manifest.csv", encoding: .utf8)
      for row in manifest.split(separator: "\n") where row.hasSuffix(",test") {
        let path = row.split(separator: ",")[0]
        let name = path.split(separator: "/")[1]
        try FileManager.default.copyItem(
          atPath: "\(directory)/cells/\(path)",
          toPath: "\(directory)/images/\(name.hasPrefix("n") ? "deeper/" : "")\(name)")
      }
      try body(run, directory + "/images")
    }
  }

  @Test func agreesWithEvaluation() throws {
    try withRun { run, images in
      let predictions = try predict(["--run", run.path, images])
      #expect(predictions.rows.count == run.summary.test?.images)
      var loss = 0.0
      for row in predictions.rows {
        let name = row.path.split(separator: "/").last ?? ""
        let label = try #require(predictions.classes.firstIndex { name.hasPrefix($0) })
        loss -= log(Double(row.probabilities[label])) / Double(predictions.rows.count)
      }
      let test = try #require(run.summary.test)
      #expect(abs(loss - test.loss) < 1e-6)
      for row in predictions.rows {
        #expect(abs(row.probabilities.reduce(0, +) - 1) < 1e-5)
        #expect(row.probabilities[row.predicted] == row.probabilities.max())
      }
    }
  }

  @Test func rowsStandInTheOrderOfTheArguments() throws {
    try withRun { run, images in
      try "not an image".write(toFile: images + "/notes.txt", atomically: true, encoding: .utf8)
      let all = try predict(["--run", run.path, images]).rows
      #expect(all.map(\.path) == all.map(\.path).sorted())
      #expect(all.first?.path.hasPrefix(images + "/deeper/") == true)
      let last = all[all.count - 1]
      let some = try predict(["--run", run.path, last.path, images + "/deeper/"]).rows
      #expect(some[0].path == last.path && some[0].probabilities == last.probabilities)
      #expect(some.dropFirst().allSatisfy { $0.path.hasPrefix(images + "/deeper/n") } && some.count > 1)
    }
  }

  @Test func allBadFilesAreNamedOrLeftOut() throws {
    try withRun { run, images in
      try Data().write(to: URL(fileURLWithPath: images + "/a.png"))
      try Data("no".utf8).write(to: URL(fileURLWithPath: images + "/z.jpg"))
      let message = refusal { _ = try predict(["--run", run.path, images]) }
      #expect(message.hasPrefix("predict: 2 of 11 images can't be used:\n"))
      #expect(message.contains("\(images)/a.png: ") && message.contains("\(images)/z.jpg: "))
      let rest = try predict(["--run", run.path, images, "--skip-bad"]).rows
      #expect(
        rest.count == 9 && !rest.contains { $0.path.hasSuffix("/a.png") || $0.path.hasSuffix("/z.jpg") })
      #expect(
        refusal { _ = try predict(["--run", run.path, images + "/z.jpg", "--skip-bad"]) }
          .hasPrefix("\(images)/z.jpg: "))
    }
  }

  @Test func whatHoldsNoImageIsRefused() throws {
    try withRun { run, images in
      #expect(
        refusal { _ = try predict(["--run", run.path, images + "/none.png"]) }
          == "\(images)/none.png: can't open: No such file or directory")
      try FileManager.default.createDirectory(atPath: images + "/empty", withIntermediateDirectories: true)
      #expect(
        refusal { _ = try predict(["--run", run.path, images + "/empty"]) }
          == "\(images)/empty: holds no PNG, JPEG or TIFF file")
    }
  }

  @Test func csvQuotesWhatNeedsIt() throws {
    let predictions = try Predictions(
      classes: ["a", "b, \"c\""], paths: ["x.png", "d,e\n.png"], probabilities: [0.25, 0.75, 0.5, 0.5])
    #expect(
      predictions.csv == """
        path,predicted,probability,a,"b, ""c""\"
        x.png,"b, ""c""\",0.75,0.25,0.75
        "d,e
        .png",a,0.5,0.5,0.5

        """)
  }

  @Test func jsonIsAnArrayInOrder() throws {
    let predictions = try Predictions(
      classes: ["z", "a\"b"], paths: ["x.png", "y.png"], probabilities: [0.25, 0.75, 1, 1e-12])
    let rows = try JSONSerialization.jsonObject(with: Data(predictions.json.utf8)) as? [[String: Any]]
    #expect(rows?.map { $0["path"] as? String } == ["x.png", "y.png"])
    #expect(rows?.map { $0["predicted"] as? String } == ["a\"b", "z"])
    #expect(rows?.map { $0["probability"] as? Double } == [0.75, 1])
    let last = rows?.last?["probabilities"] as? [String: Double]
    #expect(last?["z"] == 1 && last.map { Float($0["a\"b"] ?? 0) } == 1e-12)
  }

  @Test func answersThatAreNotFiniteAreRefused() {
    #expect(
      refusal { _ = try Predictions(classes: ["a", "b"], paths: ["x.png"], probabilities: [.nan, 1]) }
        == "x.png: the network's answer is not finite")
  }

  @Test func filesAreNotOverwritten() throws {
    try withScratchDirectory { directory in
      let file = NewFile(directory + "/out.csv")
      try file.check()
      try file.write([1])
      #expect(refusal { try file.check() } == "\(directory)/out.csv: is there already; choose another name")
      #expect(
        refusal { try file.write([2]) } == "\(directory)/out.csv: is there already; choose another name")
      #expect(FileManager.default.contents(atPath: file.path) == Data([1]))
      #expect(
        refusal { try NewFile(directory + "/no/out.csv").check() }
          == "\(directory)/no/out.csv: can't create: No such file or directory")
    }
  }
}
