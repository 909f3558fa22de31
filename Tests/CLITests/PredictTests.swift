import Foundation
import Reports
import Tensors
import Testing
import Training

@testable import CLI

@Suite struct PredictTests {
  /// Runs `predict … --out FILE` and gives what the file holds.
  private func predict(_ run: TinyRun, to file: String, _ arguments: [String]) throws -> String {
    try PredictCommand.parse(["--run", run.path, "--out", file] + arguments).predict(try TinyRun.alone())
    return try String(contentsOfFile: file, encoding: .utf8)
  }

  private struct Row: Decodable, Equatable {
    let path: String
    let predicted: String?
    let probability: Float?
    let probabilities: [String: Float]?
    let features: [Float]?
  }

  private func rows(_ text: String) throws -> [Row] {
    try JSONDecoder().decode([Row].self, from: Data(text.utf8))
  }

  /// A run, and its test images as a flat folder, by the name of their kind.
  private func withRun(_ body: (TinyRun, _ images: String, _ directory: String) throws -> Void) throws {
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
      try body(run, directory + "/images", directory)
    }
  }

  @Test func agreesWithEvaluation() throws {
    try withRun { run, images, directory in
      let rows = try rows(predict(run, to: directory + "/out.json", [images]))
      let test = try #require(run.summary.test)
      #expect(rows.count == test.images)
      var loss = 0.0
      for row in rows {
        let probabilities = try #require(row.probabilities)
        let name = row.path.split(separator: "/").last ?? ""
        let label = try #require(probabilities.keys.first { name.hasPrefix($0) })
        loss -= log(Double(probabilities[label] ?? 0)) / Double(rows.count)
        #expect(abs(probabilities.values.reduce(0, +) - 1) < 1e-5)
        #expect(row.probability == probabilities.values.max())
        #expect(row.predicted.map { probabilities[$0] } == row.probability)
      }
      #expect(abs(loss - test.loss) < 1e-6)
    }
  }

  @Test func everyFormatHasTheSameRowsOnAnyLanes() throws {
    try withRun { run, images, directory in
      let arguments = ["--features", images, images + "/deeper/"]
      let rows = try rows(
        predict(run, to: directory + "/out.json", arguments + ["--set", "training.lanes=1"]))
      #expect(rows[0].path.hasPrefix(images + "/deeper/") && rows.count > 9)
      let lines = try predict(run, to: directory + "/out.jsonl", arguments).split(separator: "\n")
      #expect(try lines.map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) } == rows)
      let table = try predict(
        run, to: directory + "/out.csv", arguments + ["--set", "training.lanes=3", "--set", "data.threads=2"]
      ).split(separator: "\n").map { $0.split(separator: ",") }
      let classes = table[0][3..<6].map(String.init)
      let features = try #require(rows[0].features).count
      #expect(
        table[0][..<3] == ["path", "predicted", "probability"] && table[0].last == "feature_\(features - 1)")
      for (row, fields) in zip(rows, table.dropFirst()) {
        #expect(
          fields[0] == row.path && String(fields[1]) == row.predicted && Float(fields[2]) == row.probability)
        #expect(fields[3..<6].map { Float($0) } == classes.map { row.probabilities?[$0] })
        #expect(fields[6...].map { Float($0) } == row.features ?? [])
      }
      #expect(table.count == rows.count + 1)
      try PredictCommand.parse(["--run", run.path, "--out", directory + "/out.safetensors"] + arguments)
        .predict(try TinyRun.alone())
      let arrays = try Safetensors.Reader(path: directory + "/out.safetensors")
      #expect(arrays.metadata["classes"] == "[\(classes.map { "\"\($0)\"" }.joined(separator: ", "))]")
      #expect(
        try arrays.integers("predicted")
          == rows.map { row in Int64(classes.firstIndex { $0 == row.predicted } ?? -1) })
      #expect(
        try arrays.tensor("probabilities").values
          == rows.flatMap { row in classes.map { row.probabilities?[$0] ?? -1 } })
      #expect(try arrays.tensor("features").values == rows.flatMap { $0.features ?? [] })
    }
  }

  @Test func anImageThatCantBeUsedKeepsItsRow() throws {
    try withRun { run, images, directory in
      let all = try rows(predict(run, to: directory + "/good.json", [images]))
      try Data("no".utf8).write(to: URL(fileURLWithPath: images + "/a.png"))
      let some = try rows(predict(run, to: directory + "/bad.json", [images]))
      #expect(some.filter { $0.predicted != nil } == all && some.count == all.count + 1)
      let empty = try #require(some.first { $0.predicted == nil })
      #expect(empty.path == images + "/a.png" && empty.probability == nil && empty.probabilities == nil)
      let table = try predict(run, to: directory + "/bad.csv", [images]).split(separator: "\n")
      #expect(table.contains { $0 == "\(images)/a.png,,,,," })
      try PredictCommand.parse(["--run", run.path, "--out", directory + "/bad.safetensors", images])
        .predict(try TinyRun.alone())
      let arrays = try Safetensors.Reader(path: directory + "/bad.safetensors")
      let place = try #require(some.firstIndex { $0.predicted == nil })
      #expect(try arrays.integers("predicted")[place] == -1)
      #expect(try arrays.tensor("probabilities").values.count { $0.isNaN } == 3)
      #expect(
        refusal { _ = try predict(run, to: directory + "/none.csv", [images + "/a.png"]) }
          == "predict: none of the 1 images can be used")
    }
  }

  /// Stopped by a bad image in the middle: the file is whole up to there, and goes on to the same bytes.
  @Test func goesOnWhereItWasStopped() throws {
    try withRun { run, images, directory in
      let bad = directory + "/bad.png"
      try FileManager.default.copyItem(atPath: images + "/deeper", toPath: directory + "/kept")
      let good = try #require(try FileManager.default.contentsOfDirectory(atPath: directory + "/kept").first)
      let inputs = Array(repeating: images, count: 12) + [bad, images]
      for format in ["csv", "json", "jsonl", "safetensors"] {
        let (whole, stopped) = ("\(directory)/whole.\(format)", "\(directory)/stopped.\(format)")
        try? FileManager.default.removeItem(atPath: bad)
        try FileManager.default.copyItem(atPath: "\(directory)/kept/\(good)", toPath: bad)
        let command = ["--run", run.path, "--on-bad-image", "stop"] + inputs
        try PredictCommand.parse(command + ["--out", whole]).predict(try TinyRun.alone())
        #expect(!FileManager.default.fileExists(atPath: PredictionRecord.path(of: whole)))
        try Data("no".utf8).write(to: URL(fileURLWithPath: bad))
        #expect(
          refusal {
            // With one lane all that came before is done.
            try PredictCommand.parse(command + ["--out", stopped, "--set", "training.lanes=1"])
              .predict(try TinyRun.alone())
          }.hasPrefix("\(bad): "))
        #expect(
          refusal { try PredictCommand.parse(command + ["--out", stopped]).predict(try TinyRun.alone()) }
            == "\(stopped): is there already; choose another name, or go on with --resume")
        let record = try String(contentsOfFile: PredictionRecord.path(of: stopped), encoding: .utf8)
        let noted = try #require(record.split(separator: ",").first?.split(separator: " ").last)
        #expect((96...108).contains(Int(noted) ?? 0), "\(noted) rows are noted")
        // What a kill leaves: half a row, perhaps, behind the last that is noted.
        if format != "safetensors" {
          let handle = try #require(FileHandle(forWritingAtPath: stopped))
          try handle.seekToEnd()
          try handle.write(contentsOf: Data(String(repeating: "half a row", count: 5000).utf8))
          try handle.close()
        }
        try FileManager.default.removeItem(atPath: bad)
        try FileManager.default.copyItem(atPath: "\(directory)/kept/\(good)", toPath: bad)
        #expect(
          refusal {
            try PredictCommand.parse(
              ["--run", run.path, "--resume", "--out", stopped] + inputs.dropFirst()
            ).predict(try TinyRun.alone())
          }.contains("was begun with inputs "))
        #expect(
          refusal {
            try PredictCommand.parse(
              command + ["--resume", "--out", stopped, "--set", "data.image.size=18"]
            ).predict(try TinyRun.alone())
          }.contains(": can't resume"))
        try PredictCommand.parse(command + ["--resume", "--out", stopped]).predict(try TinyRun.alone())
        #expect(
          FileManager.default.contents(atPath: stopped) == FileManager.default.contents(atPath: whole),
          "\(format)")
        #expect(
          refusal {
            try PredictCommand.parse(command + ["--resume", "--out", stopped]).predict(try TinyRun.alone())
          }.contains("there is nothing to resume"))
      }
    }
  }

  @Test func whatHoldsNoImageIsRefused() throws {
    try withRun { run, images, directory in
      let file = directory + "/out.csv"
      #expect(
        refusal { _ = try predict(run, to: file, [images + "/none.png"]) }
          == "\(images)/none.png: can't open: No such file or directory")
      try FileManager.default.createDirectory(atPath: images + "/empty", withIntermediateDirectories: true)
      #expect(
        refusal { _ = try predict(run, to: file, [images + "/empty"]) }
          == "\(images)/empty: holds no PNG, JPEG or TIFF file")
      #expect(!FileManager.default.fileExists(atPath: file))
    }
  }

  @Test func optionsThatDontGoTogetherAreRefused() {
    for arguments in [
      ["--out", "x.txt"], ["--resume"], ["--format", "safetensors"], ["--json", "--format", "csv"],
    ] {
      #expect(throws: (any Error).self) { try PredictCommand.parse(["--run", "r", "a.png"] + arguments) }
    }
    #expect(throws: Never.self) { try PredictCommand.parse(["--run", "r", "a.png", "--out", "x.CSV"]) }
  }

  private func block(_ first: Int, _ rows: [[Float]]) -> PredictedBlock {
    PredictedBlock(
      images: first..<(first + rows.count), classes: 2, features: 0, values: FloatBuffer(rows.flatMap { $0 }))
  }

  @Test func csvQuotesWhatNeedsIt() {
    let names = ["x.png", "d,e\n.png"]
    let text = PredictionText(.csv, classes: ["a", "b, \"c\""], features: 0) { names[$0] }
    #expect(text.opening == "path,predicted,probability,a,\"b, \"\"c\"\"\"\n")
    #expect(
      String(decoding: text.rows(block(0, [[0.25, 0.75], [0.5, 0.5]])), as: UTF8.self)
        == "x.png,\"b, \"\"c\"\"\",0.75,0.25,0.75\n\"d,e\n.png\",a,0.5,0.5,0.5\n")
  }

  @Test func jsonIsAnArrayInOrder() throws {
    let text = PredictionText(.json, classes: ["z", "a\"b"], features: 0) { "\($0).png" }
    let rows = try rows(
      text.opening
        + String(
          decoding: text.rows(block(0, [[0.25, 0.75]])) + text.rows(block(1, [[1, 1e-12]])), as: UTF8.self)
        + text.closing)
    #expect(rows.map(\.path) == ["0.png", "1.png"] && rows.map(\.predicted) == ["a\"b", "z"])
    #expect(rows[1].probabilities == ["z": 1, "a\"b": 1e-12])
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

  @Test func progressIsTold() {
    final class Lines: Screen {
      var width: Int?
      let unicode = true
      var text = ""
      func write(_ text: String) { self.text += text }
    }
    var time = 0.0
    let screen = Lines()
    let progress = PredictProgress(total: 5000, before: 1000, screen: screen) { time }
    progress.show(1500)
    time = 12
    progress.show(2200)
    progress.show(2300)
    time = 41
    progress.show(5000)
    progress.finish(unusable: 3, busy: 0.954)
    #expect(
      screen.text == """
        2,200 of 5,000 images, 100 images/s, 0:28 left
        4,000 images in 0:41, 97.6 images/s, lanes computing 95 % of the time; 3 can't be used and have no prediction

        """)
    screen.text = ""
    screen.width = 60
    progress.show(4999)
    #expect(
      screen.text.hasPrefix("\rimages  ") && screen.text.hasSuffix("\u{1B}[K") && !screen.text.contains("\n"))
  }
}
