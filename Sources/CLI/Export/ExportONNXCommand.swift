import ArgumentParser
import Models
import Training

/// `cnn-dist export onnx`.
struct ExportONNXCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "onnx", abstract: "Write a network as an ONNX model.",
    discussion: """
      Opset \(ONNXExport.opset). The input `images` is (batch, channels, height, width), the output `logits` (batch, \
      classes); the batch is free. Of a run, pixels come as values between 0 and 1: the normalisation is part of \
      the model, and its metadata name the classes. With --raw-input, and always for --model, the images come \
      normalised as in training.

      Examples:
        cnn-dist export onnx --run runs/cells --out cells.onnx
        cnn-dist export onnx --model resnet18 --weights r.safetensors --classes 8 --size 64 --raw-input --out r.onnx
      """)

  @OptionGroup var source: ExportSource
  @Flag(help: "Leave the normalisation out of the model.") var rawInput = false

  func validate() throws {
    guard source.run != nil || rawInput else {
      throw ValidationError(
        "--model expects --raw-input: a file of weights doesn't say how images are normalised")
    }
  }

  func run() throws { try Program.runAlone { try write() } }

  func write() throws {
    let exported = try source.open()
    try source.write(try exported.onnx(withNormalisation: !rawInput), "ONNX, opset \(ONNXExport.opset)")
  }
}
