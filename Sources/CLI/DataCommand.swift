import ArgumentParser

/// `cnn-dist data`: data sets made and looked after.
struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Make data sets.", subcommands: [DataSynthCommand.self])
}
