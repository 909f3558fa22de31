import ArgumentParser
import Models
import Reports
import Training

/// `cnn-dist inspect zoo`: the networks that have a name.
struct InspectZooCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "zoo", abstract: "List the networks that have a name: paper, parameters, multiply-adds.",
    discussion: """
      Counts are those for the images that a network was made for, and for as many classes as --classes says. Names \
      that end in _small have a stem for crops of 28 to 64 pixels: a first convolution without stride, no pool \
      behind it. torchvision's mobilenet_v3_small is no such net, but the small one of the two in its paper.

      Examples:
        cnn-dist inspect zoo
        cnn-dist inspect zoo --classes 8 --json
      """)

  @Option(help: "Number of classes (default: 1000, as torchvision counts).") var classes = 1000
  @Flag(help: "Print one JSON object instead of text.") var json = false

  func validate() throws { try InspectedModel.requirePositive(("classes", classes)) }

  func run() throws {
    try Program.runAlone {
      let found = try ZooInspection(classes: classes)
      try Program.output(json ? JSONOutput.text(found) : found.text)
    }
  }
}

/// The zoo as a table.
struct ZooInspection: Inspection {
  struct Model: Encodable {
    let name: String
    let summary: String
    let authors: String?
    let title: String?
    let year: Int?
    let link: String?
    /// Channels, height, width.
    let input: [Int]
    let parameters: Int
    let multiplyAdds: Int

    enum CodingKeys: String, CodingKey {
      case name, summary, authors, title, year, link, input, parameters
      case multiplyAdds = "multiply_adds"
    }
  }

  let classes: Int
  let models: [Model]

  init(classes: Int) throws(NetworkError) {
    self.classes = classes
    var models: [Model] = []
    for entry in ModelZoo.entries {
      let network = try ModelZoo.network(entry.name, input: entry.input, options: .init(classes: classes))
      models.append(
        Model(
          name: entry.name, summary: entry.summary, authors: entry.paper?.authors, title: entry.paper?.title,
          year: entry.paper?.year, link: entry.paper?.link,
          input: [entry.input.channels, entry.input.height, entry.input.width],
          parameters: network.layout.parameterCount, multiplyAdds: network.multiplyAdds))
    }
    self.models = models
  }

  var text: String {
    let rows = models.map { model in
      [
        model.name, model.authors ?? "", model.year.map(String.init) ?? "", model.link ?? "",
        model.input.map(String.init).joined(separator: "×"), Figures.grouped(model.parameters),
        Figures.grouped(model.multiplyAdds),
      ]
    }
    let header = ["model", "paper", "year", "", "input", "parameters", "multiply-adds"]
    return """
      \(TextTable.text([header] + rows))

      for \(classes) classes; any other number of classes, channels and size that a network can take: \
      inspect model NAME --size N
      """
  }
}
