import Foundation
import Testing
import Training

@testable import CLI

@Suite struct EvaluateTests {
  private func evaluate(_ arguments: String...) throws -> Evaluation {
    try EvaluateCommand.parse(arguments).evaluate(try TinyRun.alone())
  }

  @Test func saysWhatTrainingSaid() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let test = try evaluate("--run", run.path)
      #expect(test.report == run.summary.test)
      #expect(test.run.weights == .best)
      #expect(test.run.checkpoint.weightsHash == run.summary.weightsHash)
      #expect(test.text.contains(test.report.classTable) && test.text.contains(test.report.confusionTable))
    }
  }

  @Test func filesFareAsTheCellsInThem() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      try TinyRun.writeCells(to: directory + "/cells")
      let drawn = try evaluate("--run", run.path, "--split", "train")
      let files = try evaluate("--run", run.path, "--split", "train", "--data", directory + "/cells")
      #expect(files.report.confusion.images == 42)
      // The same images in another order, so in other microbatches: rounded in other places.
      #expect(abs(files.report.loss - drawn.report.loss) < 1e-6)
      #expect(files.report.confusion == drawn.report.confusion)
    }
  }

  @Test func jsonHoldsTheFiguresScriptsCountOn() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let evaluation = try evaluate("--run", run.path, "--split", "val", "--weights", "latest")
      let json = try JSONSerialization.jsonObject(with: Data(try evaluation.json().utf8)) as? [String: Any]
      #expect(json?["accuracy"] as? Double == evaluation.report.accuracy)
      #expect(json?["balanced_accuracy"] as? Double == evaluation.report.balancedAccuracy)
      #expect(json?["confusion"] as? [[Int]] == evaluation.report.confusion.counts)
      #expect((json?["classes"] as? [[String: Any]])?.map { $0["name"] as? String } == run.summary.classes)
      #expect(json?["weights_hash"] as? String == run.summary.weightsHash)
      #expect(json?["split"] as? String == "val" && json?["weights"] as? String == "latest")
    }
  }

  /// Images are normalised as the network knows them, whatever the data would give.
  @Test func normalisationIsTheCheckpoints() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let state = try CheckpointStore.verifiedState(at: run.path + "/latest")
      let evaluation = try evaluate(
        "--run", run.path, "--set", "data.normalisation={mean: [0, 0, 0], deviation: [1, 1, 1]}")
      #expect(evaluation.run.pipeline.normalisation == state.normalisation)
      #expect(evaluation.report == run.summary.test)
    }
  }

  @Test func otherClassesAreRefusedAndBothNamed() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      try TinyRun.writeCells(to: directory + "/cells")
      try FileManager.default.removeItem(atPath: directory + "/cells/manifest.csv")
      try FileManager.default.moveItem(
        atPath: directory + "/cells/neutrophil", toPath: directory + "/cells/dust")
      let message = refusal { _ = try evaluate("--run", run.path, "--data", directory + "/cells") }
      #expect(
        message == "the network was trained on classes eosinophil, lymphocyte, neutrophil, "
          + "but the data has dust, eosinophil, lymphocyte")
    }
  }

  /// Nothing but the split is checked, so a data set to test on needs nothing to train on.
  @Test func aSplitIsEnough() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      try TinyRun.writeCells(to: directory + "/cells")
      let manifest = directory + "/cells/manifest.csv"
      let rows = try String(contentsOfFile: manifest, encoding: .utf8)
      try rows.replacingOccurrences(of: ",train\n", with: ",val\n")
        .write(toFile: manifest, atomically: true, encoding: .utf8)
      let evaluation = try evaluate("--run", run.path, "--data", directory + "/cells")
      #expect(evaluation.report.images == run.summary.test?.images)
      #expect(
        refusal { _ = try evaluate("--run", run.path, "--split", "train", "--data", directory + "/cells") }
          == "\(directory)/cells: no image in the split train")
    }
  }

  @Test func whatIsNoRunIsRefused() throws {
    try withScratchDirectory { directory in
      #expect(
        refusal { _ = try evaluate("--run", directory) }
          == "\(directory): is no run directory (it holds no config.yaml)")
      let run = try TinyRun(in: directory)
      try FileManager.default.removeItem(atPath: run.path + "/best")
      #expect(try evaluate("--run", run.path).run.weights == .latest)
      #expect(
        refusal { _ = try evaluate("--run", run.path, "--weights", "best") }
          == "\(run.path): holds no best checkpoint yet")
    }
  }
}
