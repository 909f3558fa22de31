import ArgumentParser
import Collectives
import Foundation
import Reports
import Tensors
import Training

/// `cnn-dist probe`.
struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe", abstract: "Train the last layer alone, on features that are computed once.",
    discussion: """
      A linear probe: the network but for its last layer runs once over all images, without augmentation, and the last \
      layer is trained on what it gives, an epoch in a fraction of a second. The features are kept in the user's cache \
      for the next probe of the same weights, images and preparation. What comes out is a run directory, as of train.

      Examples:
        cnn-dist probe --data cells --set model.name=resnet18 --set model.weights=resnet18.pth --set training.epochs=100
        mpirun -np 8 cnn-dist probe --config configs/blood-cells-resnet18.yaml --data cells --out runs/probe
        cnn-dist evaluate --run runs/probe
      """)

  @Option(name: .long, help: "A YAML file; configs/reference.yaml says what it may hold.") var config: String?
  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting over those of the file.", valueName: "key=value"))
  var overrides: [String] = []
  @Option(help: "The images: a folder or a manifest.") var data: String?
  @Option(help: "The run directory (default: runs/MODEL-TIME-N).") var out: String?

  func run() throws {
    try Program.run { communicator in
      let options = TrainOptions(
        config: config,
        overrides: overrides + LinearProbe.overrides
          + (data.map { ["data.path=\(JSONText.quoted($0))"] } ?? []),
        directory: out, resume: false)
      let job = try TrainingJob.prepare(options, communicator: communicator)
      let sinks = try communicator.together { try TrainCommand.sinks(of: job) }
      _ = try LinearProbe(job, sinks: sinks).run()
      return 0
    }
  }
}
