import CellData
import Foundation
import Tensors
import Testing
import Training

@testable import CLI

@Suite struct InspectTests {
  private func inspect(_ path: String) throws -> any Inspection {
    try InspectPathCommand.parse([path]).inspect()
  }

  /// The keys of what is printed with --json.
  private func json(_ inspection: some Inspection) throws -> [String: Any] {
    let text = try JSONOutput.text(inspection)
    return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
  }

  @Test func theWordPathMayBeLeftOut() throws {
    func command(_ arguments: String...) throws -> Any.Type {
      type(of: try CNNDist.parseAsRoot(["inspect"] + arguments))
    }
    #expect(try command("runs/a", "--json") == InspectPathCommand.self)
    #expect(try command("./model") == InspectPathCommand.self)
    #expect(try command("model", "lenet5") == InspectModelCommand.self)
  }

  @Test func aRunIsItsNewestCheckpointAndTheBest() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let found = try json(inspect(run.path))
      #expect(found["weights_hash"] as? String == run.summary.weightsHash)
      #expect(found["model"] as? String == "lenet5" && found["classes"] as? [String] == run.summary.classes)
      #expect(found["epochs"] as? Int == 1 && found["planned_epochs"] as? Int == 1)
      #expect(found["step"] as? Int == run.summary.steps && run.summary.steps == 3)
      let best = found["best"] as? [String: Any]
      #expect(best?["metric"] as? String == "accuracy" && best?["epoch"] as? Int == 1)
      #expect(best?["weights_hash"] as? String == run.summary.weightsHash)
      #expect((found["binding"] as? [String: String])?["version"] == Version.current)
      let text = try inspect(run.path).text
      #expect(text.contains("1 of 1 epochs, 3 steps") && text.contains(run.summary.weightsHash))
      #expect(try json(inspect(run.path + "/best"))["weights_hash"] as? String == run.summary.weightsHash)
    }
  }

  @Test func aRunWithoutACheckpointSaysSo() throws {
    try withScratchDirectory { directory in
      try RunConfig().encodedYAML().write(
        toFile: directory + "/config.yaml", atomically: true, encoding: .utf8)
      #expect(
        try inspect(directory).text.contains("no checkpoint yet; \(RunConfig().training.epochs) epochs"))
      #expect(try json(inspect(directory))["weights_hash"] == nil)
    }
  }

  @Test func aDamagedCheckpointIsAnError() throws {
    try withScratchDirectory { directory in
      let run = try TinyRun(in: directory)
      let file = run.path + "/latest/weights.safetensors"
      var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
      bytes[bytes.count - 1] ^= 1
      try bytes.write(to: URL(fileURLWithPath: file))
      #expect(refusal { _ = try inspect(run.path) }.contains("weights.safetensors: damaged: its checksum is"))
    }
  }

  @Test func aModelIsItsLayers() throws {
    let found = try InspectModelCommand.parse([
      "lenet5", "--size", "28", "--channels", "1", "--classes", "10",
    ])
    .inspect()
    // PyTorch's count for LeNet-5 on 28 × 28; multiply-adds by hand: 6·25·28² + 16·150·10² + 400·120 + …
    #expect(found.parameters == 61706)
    #expect(found.multiplyAdds == 117600 + 240000 + 48000 + 10080 + 840)
    #expect(found.layers.first?.output == [6, 28, 28] && found.layers.last?.output == [10, 1, 1])
    #expect(found.layers.reduce(0) { $0 + $1.parameters } == found.parameters)
    #expect(found.text.contains("conv2       Conv2d  (16, 10, 10)       2,416        240,000"))
    // At least the outputs of both convolutions, for the 16 images of a microbatch.
    #expect(found.microbatch == 16 && found.activationBytes > 4 * 16 * (6 * 28 * 28 + 16 * 10 * 10))
  }

  @Test func aConfigurationNamesAModel() throws {
    try withScratchDirectory { directory in
      let file = directory + "/a.yaml"
      try "model: {name: lenet5, classes: [a, b, c]}\ndata: {image: {size: 28}}\ntraining: {microbatch: 4}\n"
        .write(toFile: file, atomically: true, encoding: .utf8)
      let found = try InspectModelCommand.parse(["--config", file]).inspect()
      #expect(found.model == "lenet5" && found.classes == 3 && found.input == [3, 28, 28])
      #expect(found.microbatch == 4)
      #expect(try json(inspect(file))["seed"] as? Int == 42)
      #expect(
        try ConfigLoader.load(text: inspect(file).text, name: "a").config.model.classes == ["a", "b", "c"])
    }
    #expect(throws: (any Error).self) { try InspectModelCommand.parse([]) }
    #expect(throws: (any Error).self) { try InspectModelCommand.parse(["lenet5", "--size", "0"]) }
  }

  @Test func arraysHaveNamesTypesAndShapes() throws {
    try withScratchDirectory { directory in
      var writer = Safetensors.Writer()
      writer.metadata = [("model", "toy")]
      writer.add("weight", Tensor(shape: [2, 3], values: [1, 2, 3, 4, 5, 6]))
      writer.add("count", shape: [], [Int64(7)])
      try writer.write(to: directory + "/a.safetensors")
      let found = try json(inspect(directory + "/a.safetensors"))
      let arrays = found["arrays"] as? [[String: Any]]
      #expect(arrays?.map { $0["name"] as? String } == ["count", "weight"])
      #expect(arrays?.map { $0["dtype"] as? String } == ["I64", "F32"])
      #expect(arrays?.map { $0["shape"] as? [Int] } == [[], [2, 3]])
      #expect(found["metadata"] as? [String: String] == ["model": "toy"])
    }
  }

  @Test func aDataSetIsCountedAndProbed() throws {
    try withScratchDirectory { directory in
      let folder = directory + "/cells"
      try TinyRun.writeCells(to: folder)
      try Data("no".utf8).write(to: URL(fileURLWithPath: folder + "/neutrophil/neutrophil_00002.png"))
      let found = try json(inspect(folder))
      #expect(found["images"] as? Int == 60)
      let classes = found["classes"] as? [[String: Any]]
      #expect(classes?.map { $0["name"] as? String } == ["eosinophil", "lymphocyte", "neutrophil"])
      #expect(classes?.map { $0["train"] as? Int } == [14, 14, 14])
      #expect(classes?.map { $0["test"] as? Int } == [3, 3, 3])
      #expect(found["width"] as? [Int] == [18, 18] && found["height"] as? [Int] == [18, 18])
      let formats = found["formats"] as? [[String: Any]]
      #expect(formats?.map { $0["images"] as? Int } == [59] && formats?.first?["format"] as? String == "PNG")
      let bad = found["bad"] as? [String]
      #expect(bad?.count == 1 && bad?.first?.contains("neutrophil_00002.png: ") == true)
      try FileManager.default.removeItem(atPath: folder + "/manifest.csv")
      #expect(try inspect(folder).text.contains("no val and test images"))
    }
  }

  @Test func anImageIsItsHeadersAndItsPixels() throws {
    try withScratchDirectory { directory in
      let image = PixelImage(width: 3, height: 2, channels: 3, bytes: Array(0..<18))
      let path = directory + "/a.image"
      try Data(image.png()).write(to: URL(fileURLWithPath: path))
      let found = try json(inspect(path))
      #expect(found["format"] as? String == "PNG" && found["bit_depth"] as? Int == 8)
      #expect([found["width"], found["height"], found["channels"]].map { $0 as? Int } == [3, 2, 3])
      let inspection = try #require(try inspect(path) as? ImageInspection)
      try Data(inspection.decoded()).write(to: URL(fileURLWithPath: directory + "/a.safetensors"))
      let file = try Safetensors.Reader(path: directory + "/a.safetensors")
      let pixels = try #require(file.entry("pixels"))
      #expect(pixels.type == .uint8 && pixels.shape == [2, 3, 3])
      #expect(Array(file.bytes(of: pixels)) == image.bytes)
    }
  }

  @Test func whatIsNothingKnownIsRefused() throws {
    try withScratchDirectory { directory in
      #expect(
        refusal { _ = try inspect(directory + "/none") }
          == "\(directory)/none: can't open: No such file or directory")
      try "text".write(toFile: directory + "/a.txt", atomically: true, encoding: .utf8)
      #expect(
        refusal { _ = try inspect(directory + "/a.txt") }.hasPrefix(
          "\(directory)/a.txt: not a PNG, JPEG or TIFF"))
    }
  }
}
