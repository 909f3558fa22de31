import Foundation
import Models
import ONNXMessages
import SwiftProtobuf
import Tensors
import Testing
import Training

@testable import CLI

/// `export`, from a run and from a file of weights.
@Suite struct ExportTests {
  @Test func aRunIsExportedWithItsWeights() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let file = directory + "/out.safetensors"
      try ExportSafetensorsCommand.parse(["--run", run.path, "--out", file]).write()
      let (saved, exported) = (run.path + "/best/weights.safetensors", file)
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: saved)) == Data(contentsOf: URL(fileURLWithPath: exported)))

      let onnx = directory + "/out.onnx"
      try ExportONNXCommand.parse(["--run", run.path, "--out", onnx]).write()
      let model = try Onnx_ModelProto(serializedBytes: Data(contentsOf: URL(fileURLWithPath: onnx)))
      let metadata = Dictionary(uniqueKeysWithValues: model.metadataProps.map { ($0.key, $0.value) })
      #expect(metadata["model"] == "lenet5" && metadata["image_resize"] == "18")
      #expect(metadata["classes"]?.hasPrefix("[\"") == true)
      #expect(model.graph.node.first?.opType == "Sub")

      // The same weights by way of a file, for the network of the zoo; and what is there already stays.
      let again = directory + "/again.onnx"
      let arguments = [
        "--model", "lenet5", "--weights", file, "--classes", "3", "--size", "16", "--raw-input", "--out",
        again,
      ]
      try ExportONNXCommand.parse(arguments).write()
      let raw = try Onnx_ModelProto(serializedBytes: Data(contentsOf: URL(fileURLWithPath: again)))
      #expect(raw.graph.node.first?.opType == "Conv")
      let weight = raw.graph.initializer.first { $0.name == "fc3.weight" }
      #expect(weight?.rawData == model.graph.initializer.first { $0.name == "fc3.weight" }?.rawData)
      #expect(throws: (any Error).self) { try ExportONNXCommand.parse(arguments).write() }
    }
  }

  /// An ONNX file is a run: classes, normalisation and size are in it, and the rows are the run's own.
  @Test func imagesArePredictedByAnONNXFile() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let onnx = directory + "/out.onnx"
      try ExportONNXCommand.parse(["--run", run.path, "--out", onnx]).write()
      let cells = directory + "/cells"
      try TinyRun.writeCells(to: cells)
      func rows(_ arguments: [String], _ name: String) throws -> Tensor {
        let out = "\(directory)/\(name).safetensors"
        let command = try PredictCommand.parse([cells, "--out", out] + arguments)
        try command.predict(TinyRun.alone())
        return try Safetensors.Reader(path: out).tensor("probabilities")
      }
      let (expected, got) = (try rows(["--run", run.path], "run"), try rows(["--weights", onnx], "onnx"))
      #expect(got.shape == expected.shape && expected.shape[0] >= 60 && expected.shape[1] == 3)
      #expect(zip(got.values, expected.values).allSatisfy { abs($0 - $1) < 1e-6 })
      let opened = try TrainedRun(onnx: onnx, communicator: TinyRun.alone())
      let trained = try TrainedRun(run.path, communicator: TinyRun.alone())
      #expect(opened.classes == trained.classes && opened.checkpoint.mean == trained.checkpoint.mean)
      #expect(opened.config.data.image.resizedSide == 18)
    }
  }

  /// A network that is used as it is must not get a new head.
  @Test func weightsOfOtherClassesAreNotExported() throws {
    try withScratchDirectory { directory in
      let file = try TinyRun(in: directory).path + "/best/weights.safetensors"
      var config = RunConfig()
      config.model.name = "lenet5"
      config.data.image.size = 16
      let text = refusal { _ = try ExportedModel(config, classes: 4, weights: file) }
      #expect(text.contains("2 of another shape: fc3.weight (expects (4, 84), got (3, 84)), fc3.bias"))
    }
  }

  /// `evaluate --weights FILE` measures those of the file; the hash says so.
  @Test func aRunIsEvaluatedWithTheWeightsOfAFile() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let file = directory + "/out.safetensors"
      try ExportSafetensorsCommand.parse(["--run", run.path, "--out", file]).write()
      let given = try TrainedRun(run.path, weights: .file(file), communicator: TinyRun.alone())
      let saved = try TrainedRun(run.path, communicator: TinyRun.alone())
      #expect(given.checkpoint.weightsHash == saved.checkpoint.weightsHash)
      #expect(given.title.contains("lenet5, weights of \(file), after 1 epoch"))
      let text = refusal {
        _ = try TrainedRun(run.path, weights: .file("none.pth"), communicator: TinyRun.alone())
      }
      #expect(text == "none.pth: can't open: No such file or directory")
    }
  }

  @Test(arguments: [
    ([], "expects --run RUN or --model NAME"),
    (["--run", "a", "--model", "b"], "expects --run RUN or --model NAME"),
    (["--model", "b", "--raw-input"], "--model expects --weights FILE and --classes N"),
    (["--model", "b", "--weights", "f", "--classes", "2"], "--model expects --raw-input"),
    (["--run", "a", "--classes", "2"], "--classes is for --model"),
  ])
  func aWrongCommandLineIsRefused(arguments: [String], complaint: String) {
    #expect {
      _ = try ExportONNXCommand.parse(arguments + ["--out", "x.onnx"])
    } throws: {
      ExportONNXCommand.message(for: $0).contains(complaint)
    }
  }
}
