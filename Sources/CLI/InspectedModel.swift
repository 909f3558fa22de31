import ArgumentParser
import Models
import Training

/// The model that `inspect model` and `inspect plan` show.
struct InspectedModel: ParsableArguments {
  @Argument(help: "A model of the zoo.") var name: String?
  @Option(help: "The configuration of a run, whose model to show.") var config: String?
  @Option(help: "Height and width of the images, in pixels (default: 64, or the configuration's).") var size:
    Int?
  @Option(help: "Channels of the images (default: 3, or the configuration's).") var channels: Int?
  @Option(help: "Number of classes (default: as many as the configuration names, or 8).") var classes: Int?
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws {
    guard (name == nil) != (config == nil) else {
      throw ValidationError("expects a model's name or --config FILE")
    }
    try Self.requirePositive(("size", size), ("channels", channels), ("classes", classes))
  }

  static func requirePositive(_ options: (name: String, value: Int?)...) throws {
    for (name, value) in options {
      if let value, value < 1 { throw ValidationError("--\(name) expects at least 1, got \(value)") }
    }
  }

  /// The configuration with what the options say, and its network.
  func network() throws -> (RunConfig, Network) {
    var settings = try ConfigLoader.load(file: config).config
    if let name { settings.model.name = name }
    if let size { settings.data.image.size = size }
    if let channels { settings.data.image.channels = channels }
    let named = settings.model.classes.isEmpty ? 8 : settings.model.classes.count
    return (settings, try settings.network(classes: classes ?? named))
  }

  func show(_ found: some Inspection) throws {
    try Program.output(json ? JSONOutput.text(found) : found.text)
  }
}
