import ArgumentParser
import CellData
import Foundation
import Tensors
import Training

/// `cnn-dist inspect`: what a thing is.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Say what a run, a file, a data set or a model is.",
    discussion: """
      Examples:
        cnn-dist inspect runs/cells --json
        cnn-dist inspect cells/
        cnn-dist inspect model resnet18 --size 64 --classes 8
        cnn-dist inspect plan resnet18 --size 64

      What is in a folder called model is asked for as ./model.
      """,
    subcommands: [InspectPathCommand.self, InspectModelCommand.self, InspectPlanCommand.self],
    defaultSubcommand: InspectPathCommand.self)
}

/// `cnn-dist inspect PATH`.
struct InspectPathCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "path", abstract: "Say what lies at a path (the word path may be left out).",
    discussion: """
      A run directory: model, progress, best epoch, hash of the weights. A checkpoint in it: the same of that \
      step. A .safetensors file, or a .pth or .pt by torch.save: its arrays. A .yaml file: the whole configuration that it makes. A folder of images \
      or a .csv manifest: classes, splits, sizes and formats. Any other file: format, size, channels and bits of \
      an image.

      Examples:
        cnn-dist inspect runs/cells --json
        cnn-dist inspect runs/cells/best/weights.safetensors
        cnn-dist inspect resnet18-f37072fd.pth
        cnn-dist inspect cells/manifest.csv
        cnn-dist inspect cell.png --pixels cell.safetensors
      """)

  @Argument(help: "A run, checkpoint, weights file, configuration, data set or image.") var path: String
  @Option(
    help: ArgumentHelp(
      "Of an image: write the decoded pixels to a new file, as array `pixels` (height, width, channels).",
      valueName: "file.safetensors"))
  var pixels: String?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func run() throws {
    try Program.runAlone {
      let found = try inspect()
      if let pixels { try write(found, to: pixels) }
      try Program.output(json ? JSONOutput.text(found) : found.text)
    }
  }

  /// Says what it is by what lies there; a plain file by the end of its name.
  func inspect() throws -> any Inspection {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw FileError(path: path, cannot: "open")
    }
    if isFolder.boolValue {
      func holds(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }
      if holds("config.yaml") { return try RunInspection(path) }
      if holds("state.json") { return try CheckpointInspection(path) }
      return try DatasetInspection(path)
    }
    switch path.split(separator: ".").last?.lowercased() {
    case "safetensors", "pth", "pt": return try ArraysInspection(path)
    case "yaml", "yml": return try ConfigInspection(config: ConfigLoader.load(file: path).config)
    case "csv": return try DatasetInspection(path)
    default: return ImageInspection(path: path, info: try ImageDecoder.info(path: path))
    }
  }

  private func write(_ found: any Inspection, to pixels: String) throws {
    guard let image = found as? ImageInspection else {
      throw ImageError(path: path, problem: "is no image, so it has no --pixels")
    }
    try NewFile(pixels).write(try image.decoded())
  }
}

/// What something is, to read and to print as JSON.
protocol Inspection: Encodable {
  var text: String { get }
}

/// Facts as lines of two columns.
enum FactLines {
  static func text(_ facts: [(name: String, value: String)]) -> String {
    let width = facts.map(\.name.count).max() ?? 0
    return facts.map { $0.name + String(repeating: " ", count: width + 2 - $0.name.count) + $0.value }
      .joined(separator: "\n")
  }
}
