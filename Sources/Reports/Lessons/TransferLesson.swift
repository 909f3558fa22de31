import Models
import Tensors
import Training

extension LessonTopic {
  static let transfer = LessonTopic(
    name: "transfer", sentence: "What stays frozen and what learns when a network is put to new classes.",
    make: TransferLesson.make)
}

enum TransferLesson {
  /// A part of the network by which freezing counts.
  struct Part {
    let name: String
    let count: Int
    /// The first epoch that trains it; nil where none does.
    let learnsFrom: Int?
    /// ‖w − w₀‖ / ‖w₀‖ since the run began; nil where nobody knows what it began with.
    var moved: Double?

    var words: String {
      switch learnsFrom {
      case nil: "frozen"
      case 0: "learns"
      case let epoch?: "frozen, learns from epoch \(epoch + 1) on"
      }
    }
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    let (name, network) = try input.network()
    let config = input.run?.config
    let plan = try FreezingPlan(config?.transfer ?? TransferConfig(), network: network)
    var parts = self.parts(of: network, plan)
    guard let head = parts.last else { throw LessonError("\(name) has no layer that learns") }
    let beginning = try moves(input, &parts)
    let all = network.layout.parameterCount
    func share(_ count: Int) -> String { LessonText.number(100 * Double(count) / Double(all), 1) + " %" }
    func sum(_ parts: some Sequence<Part>) -> Int { parts.reduce(0) { $0 + $1.count } }
    let choices = [
      ("all_but_head: only \(head.name) learns", head.count),
      ("\(max(0, parts.count - 2)) blocks: the last two learn", sum(parts.suffix(2))),
      ("[]: everything learns", all),
    ]
    let frozen = parts.filter { $0.learnsFrom != 0 }
    let rows: [[String]] =
      [
        ["block", "parameters", "of all"] + (config == nil ? [] : ["in this run"])
          + (beginning == nil ? [] : ["moved by"])
      ]
      + parts.map { part in
        [part.name, Figures.grouped(part.count), share(part.count)] + (config == nil ? [] : [part.words])
          + (beginning == nil ? [] : [part.moved.map { LessonText.number($0, 4) } ?? "–"])
      }
    let subject = input.run.map { "\($0.path) (\(name), \($0.story))" } ?? name
    var panels: [any Panel] = [
      BarChart(
        "Parameters by block",
        parts.map {
          .init(
            $0.name, Double($0.count),
            text: "\(Figures.grouped($0.count)) (\(share($0.count)))"
              + (config == nil ? "" : ", \($0.words)"),
            series: $0.learnsFrom == 0 ? 0 : 1)
        }, width: 860)
    ]
    if beginning != nil {
      panels.append(
        BarChart(
          "How far training has moved each block, ‖w − w₀‖ / ‖w₀‖",
          parts.map {
            .init(
              $0.name, $0.moved ?? 0, text: $0.moved.map { LessonText.number($0, 4) } ?? "–",
              series: $0.learnsFrom == 0 ? 0 : 1)
          }, width: 860))
    }
    panels.append(
      BarChart(
        "What learns, by transfer.freeze",
        choices.map {
          .init($0.0, Double($0.1), text: "\(Figures.grouped($0.1)) (\(share($0.1)))", series: 2)
        }, width: 860))
    return Lesson(
      """
      A network that has learned from many images has filters that serve other images, too. For new classes its head is
      replaced, and then more or less of the rest learns on: the fewer images there are, the less.

      \(LessonText.table([["transfer.freeze", "parameters", "of all"]] + choices.map { [$0.0, Figures.grouped($0.1), share($0.1)] }))

      \(subject): \(status(config, frozen, all: all, count: sum(frozen)))\(beginning ?? "")

      \(LessonText.table(rows))

      Frozen layers need no gradients: neither backward nor the exchange between ranks has work with them. More layers
      may thaw later (transfer.unfreeze), and blocks may learn at rates of their own (optimizer.layer_decay).
      """,
      Figure(
        "Transfer: \(name)", panels,
        caption: frozen.isEmpty ? "" : "Orange blocks are frozen when training begins."),
      numbers: [
        "all": [Double(all)], "head": [Double(head.count)], "frozen": [Double(sum(frozen))],
        "moved": parts.compactMap(\.moved),
      ])
  }

  private static func status(_ config: RunConfig?, _ frozen: [Part], all: Int, count: Int) -> String {
    guard config != nil else { return "no run, so nothing is frozen yet." }
    guard !frozen.isEmpty else { return "nothing is frozen (transfer.freeze: []), all parameters learn." }
    return "\(frozen.map(\.name).joined(separator: ", ")) begin\(frozen.count == 1 ? "s" : "") frozen, "
      + "\(Figures.grouped(count)) of \(Figures.grouped(all)) parameters."
  }

  private static func parts(of network: Network, _ plan: FreezingPlan) -> [Part] {
    network.blocks.map { block in
      let layers = Set(block.layers)
      let count = network.nodes.filter { layers.contains($0.name) }.flatMap(\.parameters)
        .reduce(0) { $0 + $1.shape.count }
      // A block of which a part learns counts as one that learns.
      let from = plan.stages.first { !layers.isSubset(of: $0.frozen) }?.epoch
      return Part(name: block.name, count: count, learnsFrom: from)
    }
  }

  /// Fills in how far the parts have moved; says what from. Nil where there is no run.
  private static func moves(_ input: LessonInput, _ parts: inout [Part]) throws -> String? {
    guard let run = input.run, let config = run.config else { return nil }
    let before: FloatBuffer
    do {
      before = try run.network.startingValues(config, classes: run.classes).values
    } catch {
      return " What it began with can't be read any more: \(error)"
    }
    for (number, block) in run.network.blocks.enumerated() {
      let layers = Set(block.layers)
      let entries = run.network.nodes.filter { layers.contains($0.name) }.flatMap(\.parameters)
      let pairs = entries.flatMap { entry in
        zip(entry.array(in: run.values.pointer), entry.array(in: before.pointer))
      }
      parts[number].moved = LessonText.relativeDistance(
        pairs.map { Double($0.0) }, pairs.map { Double($0.1) })
    }
    let source = config.model.weights
    return source.isEmpty ? " It began with random weights." : " It began with the weights of \(source)."
  }
}
