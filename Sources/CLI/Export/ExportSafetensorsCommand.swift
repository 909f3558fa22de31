import ArgumentParser
import Training

/// `cnn-dist export safetensors`.
struct ExportSafetensorsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "safetensors", abstract: "Write weights as a safetensors file.",
    discussion: """
      Names, shapes and order of elements are torchvision's, num_batches_tracked included, so the model of that name \
      there takes the file by load_state_dict(…, strict=True).

      Examples:
        cnn-dist export safetensors --run runs/cells --out cells.safetensors
        cnn-dist export safetensors --model resnet18 --weights resnet18.pth --classes 1000 --out r.safetensors
      """)

  @OptionGroup var source: ExportSource

  func run() throws { try Program.runAlone { try write() } }

  func write() throws {
    let exported = try source.open()
    try source.write(exported.safetensors(), "safetensors")
  }
}
