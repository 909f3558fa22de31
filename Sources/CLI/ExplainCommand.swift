import ArgumentParser
import CellData
import Foundation
import Models
import Reports
import Tensors
import Training

/// `cnn-dist explain`: lessons, computed and drawn by the engine that trains.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Explain convolutional networks, with numbers and pictures of the engine itself.",
    discussion: """
      Without a topic, lists them. A topic prints a short text and writes TOPIC.svg and TOPIC.png; `all` makes a small \
      web site of all topics, which needs no network. Letters in pictures are shapes: no font is needed.

      Examples:
        cnn-dist explain
        cnn-dist explain convolution --image cell.png --out lessons
        cnn-dist explain output-size --size 224 --kernel 7 --stride 2 --padding 3 --model resnet18
        cnn-dist explain filters --run runs/cells
        cnn-dist explain features --model resnet18 --weights resnet18.pth --image cell.png
        cnn-dist explain by-hand --data cells
        cnn-dist explain all --run runs/cells --out lessons
      """)

  @Argument(help: "A topic, or all.") var topic: String?
  @Option(help: "The folder for pictures (default: lessons).") var out = "lessons"
  @Option(help: "A picture to work on: PNG, JPEG or TIFF (default: a synthetic cell).") var image: String?
  @Option(
    name: .customLong("run"),
    help: ArgumentHelp(
      "A run that `train` has written: its network and what it has learned.", valueName: "run"))
  var runPath: String?
  @Option(
    help: ArgumentHelp(
      "Which weights of the run (default: best, or latest); or a file of weights for the run or --model, or an .onnx file.",
      valueName: "best|latest|FILE"))
  var weights: TrainedRun.Weights?
  @Option(
    help: "by-hand: the images, a folder or a manifest (default: the run's, or cells made on the spot).")
  var data: String?
  @Option(help: "A model of the zoo to talk about (default: seed_cnn, or the run's).") var model: String?
  @Option(
    help: "Height and width of the images (output-size, parameters, architectures, by-hand, --weights).")
  var size: Int?
  @Option(help: "Channels of the images (parameters, architectures, by-hand, --weights).") var channels: Int?
  @Option(help: "output-size: height and width of the kernel.") var kernel: Int?
  @Option(help: "output-size: the stride.") var stride: Int?
  @Option(help: "output-size: the padding.") var padding: Int?
  @Option(help: "output-size: the dilation.") var dilation: Int?
  @Option(help: "parameters: units of the fully connected layer.") var units: Int?
  @Option(help: "by-hand: how many cells are made on the spot where there is no --data.") var cells = 1800
  @Flag(help: "allreduce: start no jobs of several ranks.") var alone = false
  @Option(help: "Width of a picture, in pixels.") var width = 900.0
  @Flag(help: "Pictures on dark paper.") var dark = false
  @Flag(help: "Print the numbers as one JSON object instead of text.") var json = false

  func validate() throws {
    try InspectedModel.requirePositive(
      ("size", size), ("channels", channels), ("kernel", kernel), ("stride", stride), ("dilation", dilation),
      ("units", units))
    guard cells >= 60 else { throw ValidationError("--cells expects at least 60, got \(cells)") }
    if let padding, padding < 0 { throw ValidationError("--padding expects at least 0, got \(padding)") }
    guard (300...4000).contains(width) else {
      throw ValidationError("--width expects 300 to 4000 pixels, got \(width)")
    }
    guard runPath == nil || model == nil else {
      throw ValidationError("a --run has its model; leave out --model")
    }
    guard let weights, runPath == nil else { return }
    guard let file = weights.file else {
      throw ValidationError("--weights \(weights.text) expects --run RUN")
    }
    guard model != nil || file.hasSuffix(".onnx") else {
      throw ValidationError("--weights FILE expects --model NAME or --run RUN, or a file that ends in .onnx")
    }
  }

  func run() throws { try Program.runAlone { try Program.output(explain()) } }

  /// What is printed.
  func explain() throws -> String {
    guard let topic else {
      let rows = Lessons.topics.map {
        ["  \($0.name)", $0.sentence + ($0.needsRun ? " (needs --run RUN or --weights FILE)" : "")]
      }
      let width = rows.map { $0[0].count }.max() ?? 0
      let lines = rows.map { $0[0] + String(repeating: " ", count: width + 2 - $0[0].count) + $0[1] }
      let more = ["", "Each prints a text and draws a picture; cnn-dist explain --help has examples."]
      return (["cnn-dist explain TOPIC, or all:", ""] + lines + more).joined(separator: "\n")
    }
    if topic == "all" { return try site() }
    let chosen = try Lessons.topic(named: topic)
    let lesson = try chosen.make(input())
    let paths = try lesson.figure.write(
      to: out, name: chosen.name, width: width, theme: dark ? .dark : .light)
    if json { return try JSONOutput.text(lesson.numbers) }
    return "\(lesson.text)\n\ndrawn: \(paths.joined(separator: ", "))"
  }

  private func site() throws -> String {
    let input = try input()
    let progress = SlowProgress("lessons drawn")
    let topics = Lessons.topics.filter { !$0.needsRun || input.run != nil }
    var (lessons, failures): ([(topic: LessonTopic, lesson: Lesson)], [String]) = ([], [])
    for (number, topic) in topics.enumerated() {
      progress.show(number, of: topics.count)
      do {
        lessons.append((topic: topic, lesson: try topic.make(input)))
      } catch {
        failures.append("\(topic.name): \(error)")
      }
    }
    try LessonSite.write(lessons, to: out)
    let left = Lessons.topics.filter { $0.needsRun && input.run == nil }.map(\.name)
    let more =
      left.isEmpty
      ? "" : "\nleft out: \(left.joined(separator: ", ")), which need --run RUN or --weights FILE"
    let text = "\(lessons.count) lessons: open \(out)/index.html\(more)"
    guard failures.isEmpty else {
      try Program.output(text)
      throw LessonError("left out \(failures.joined(separator: "; left out "))")
    }
    return text
  }

  private func input() throws -> LessonInput {
    var input = LessonInput()
    if let image {
      input.image = Self.reduced(try ImageDecoder.decode(path: image))
      input.imageName = URL(fileURLWithPath: image).lastPathComponent
    }
    input.run = try learned()
    for remark in input.run?.remarks ?? [] { Program.say(remark) }
    if let model { input.model = model }
    (input.size, input.channels, input.kernel, input.stride) = (size, channels, kernel, stride)
    (input.padding, input.dilation, input.units, input.data) = (padding, dilation, units, data)
    input.cells.images = cells
    if !alone { input.jobs = LessonJobs.steps(of: runPath, data: data) }
    input.say = { Program.say($0) }
    return input
  }

  /// At most 1,024 pixels on a side: lessons show an image many times, and small.
  private static func reduced(_ image: PixelImage) -> PixelImage {
    let longer = max(image.width, image.height)
    guard longer > 1024 else { return image }
    return Resize.resize(
      image, width: max(1, image.width * 1024 / longer), height: max(1, image.height * 1024 / longer))
  }

  /// The run, or the network with weights of a file.
  private func learned() throws -> LessonRun? {
    if let runPath { return try LessonRun(runPath, weights: weights) }
    guard let file = weights?.file else { return nil }
    guard let model else { return try LessonRun(onnx: file) }
    return try LessonRun(model: model, weights: file, size: size, channels: channels)
  }
}
