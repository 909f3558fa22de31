import ArgumentParser

/// `cnn-dist scale`: how fast more ranks and lanes are, here and elsewhere.
struct ScaleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scale", abstract: "Measure how training scales, and forecast it for larger machines.",
    discussion: """
      Examples:
        cnn-dist scale --ranks 1,2 --model resnet18
        cnn-dist scale --ranks 1,2,4 --lanes 1,2 --scaling strong --out scaling --compare earlier/scale.json
        cnn-dist scale forecast --model resnet18 --nodes 1,8,64,512 --gbits 10,25,100
      """,
    subcommands: [ScaleRunCommand.self, ForecastCommand.self],
    defaultSubcommand: ScaleRunCommand.self)
}
