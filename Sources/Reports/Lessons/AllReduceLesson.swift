import Collectives
import Layers
import Tensors

extension LessonTopic {
  static let allReduce = LessonTopic(
    name: "allreduce",
    sentence: "Why gradients are added in one fixed tree: the same bits on any number of ranks.",
    make: AllReduceLesson.make)
}

/// Gradients of sixteen microbatches, added in the tree of training and as plain all-reduces add.
enum AllReduceLesson {
  static let leaves = 16

  /// The gradients of a convolution over sixteen noisy pictures, by the engine's backward pass.
  private static func gradients(_ engine: any LessonEngine) throws -> [[Float]] {
    let layer = Conv2d(outputChannels: 4, kernel: 3, padding: .explicit(1), bias: false)
    let stream = RandomStream(seed: 77, purpose: .synthesis)
    let weight = Tensor(shape: [4, 1, 3, 3], values: (0..<36).map { stream.normal(at: $0) })
    return try (0..<leaves).map { leaf in
      let x = Batch([1, 1, 12, 12], (0..<144).map { stream.normal(at: 1000 + leaf * 1000 + $0) })
      let dy = Batch([1, 4, 12, 12], (0..<576).map { stream.normal(at: 1200 + leaf * 1000 + $0) })
      return try engine.run(
        layer, [x], parameters: [weight], statistics: [], mode: .training, outputGradient: dy, epoch: 0
      ).parameterGradients[0].values
    }
  }

  private typealias Add = ([Float], [Float]) -> [Float]

  /// As `ranks` would: each adds up the maximal nodes of its run of leaves, and then the tree goes on from those.
  private static func byTree(_ gradients: [[Float]], ranks: Int, _ add: Add) -> [Float] {
    let tree = ReductionTree(leaves: gradients.count)
    func value(_ node: Range<Int>, _ known: [Range<Int>: [Float]]) -> [Float] {
      if let found = known[node] { return found }
      guard let (left, right) = tree.children(of: node) else { return gradients[node.lowerBound] }
      return add(value(left, known), value(right, known))
    }
    var known: [Range<Int>: [Float]] = [:]
    for rank in 0..<ranks {
      let run = (rank * gradients.count / ranks)..<((rank + 1) * gradients.count / ranks)
      for node in tree.maximalNodes(in: run) { known[node] = value(node, [:]) }
    }
    return value(tree.root, known)
  }

  /// Each rank adds its own, then the ranks one after another.
  private static func plainly(_ gradients: [[Float]], ranks: Int, _ add: Add) -> [Float] {
    let sums = (0..<ranks).map { rank in
      gradients[(rank * gradients.count / ranks)..<((rank + 1) * gradients.count / ranks)].dropFirst()
        .reduce(gradients[rank * gradients.count / ranks], add)
    }
    return sums.dropFirst().reduce(sums[0], add)
  }

  static func make(_ input: LessonInput) throws -> Lesson {
    let gradients = try Self.gradients(input.engine)
    let counts = [1, 2, 3, 4, 8]
    let (trees, plain) = (
      counts.map { Self.byTree(gradients, ranks: $0, input.engine.add) },
      counts.map { Self.plainly(gradients, ranks: $0, input.engine.add) }
    )
    func differing(_ sum: [Float], _ other: [Float]) -> Int {
      zip(sum, other).filter { $0.bitPattern != $1.bitPattern }.count
    }
    let (treeGaps, plainGaps) = (trees.map { differing($0, trees[0]) }, plain.map { differing($0, plain[0]) })
    let rows: [[String]] =
      [
        [
          "ranks", "tree: numbers that differ from 1 rank", "plain: numbers that differ", "w[0] by tree",
          "w[0] plainly",
        ]
      ]
      + counts.indices.map { k -> [String] in
        ["\(counts[k])", "\(treeGaps[k])", "\(plainGaps[k])", bits(trees[k][0]), bits(plain[k][0])]
      }
    let compared = try input.jobs.map { try JobComparison($0, say: input.say) }
    var real: [any Panel] = []
    if let compared {
      real.append(TablePanel("On real ranks: \(compared.subject)", compared.table))
      if let example = compared.example {
        real.append(
          TablePanel(
            "A number of \(example.name)",
            [["", "value", "bits"]]
              + example.numbers.map { [$0.what, "\($0.value)".replacing("-", with: "−"), bits($0.value)] }))
      }
    }
    return Lesson(
      """
      Sums of floating-point numbers depend on their order: (a + b) + c and a + (b + c) may differ in the last bit. A
      plain all-reduce adds what each rank has, so other ranks make another sum, and weights drift apart. Here
      microbatches are the leaves of one fixed tree, whoever computes them; a rank adds up whole nodes of it and no more.

      Gradients (36 numbers, by the engine's backward pass) of 16 microbatches, added on 1 … 8 ranks:

      \(LessonText.table(rows))

      \(words(compared))
      """,
      Figure(
        "Adding gradients in one tree",
        [
          BoxGraph("16 microbatches; colours say which of 4 ranks adds", boxes()),
          TablePanel(
            "Numbers of 36 that differ from those of 1 rank",
            counts.indices.reduce(into: [["ranks", "tree", "plain sum"]]) {
              $0.append(["\(counts[$1])", "\(treeGaps[$1])", "\(plainGaps[$1])"])
            }),
        ] + real),
      numbers: [
        "tree": treeGaps.map(Double.init), "plain": plainGaps.map(Double.init),
        "sum": trees[0].map(Double.init),
        "jobs_tree": (compared?.rows ?? []).filter(\.isTree).map { Double($0.differing) },
        "jobs_plain": (compared?.rows ?? []).filter { !$0.isTree }.map { Double($0.differing) },
      ])
  }

  /// What real ranks made of it.
  private static func words(_ compared: JobComparison?) -> String {
    guard let compared else {
      return
        "There is no mpirun here to start real ranks with; where there is, this lesson compares their steps, too."
    }
    let example = compared.example.map { example in
      "\n\nA number of \(example.name): "
        + example.numbers.map { "\($0.value) (\(bits($0.value))) by \($0.what)" }.joined(separator: ", ")
        + "."
    }
    return """
      The same on real ranks, each row a job of its own: \(compared.subject).

      \(LessonText.table(compared.table))\(example ?? "")\(compared.lucky)

      `cnn-dist verify` does this for more steps, ranks and lanes.
      """
  }

  private static func bits(_ value: Float) -> String {
    let digits = String(value.bitPattern, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// The tree, leaves on top.
  private static func boxes() -> [BoxGraph.Box] {
    let tree = ReductionTree(leaves: leaves)
    var places: [Range<Int>: Int] = [:]
    var boxes: [BoxGraph.Box] = []
    func rank(_ node: Range<Int>) -> Int? { node.count <= leaves / 4 ? node.lowerBound / (leaves / 4) : nil }
    func visit(_ node: Range<Int>) {
      var inputs: [Int] = []
      if let (left, right) = tree.children(of: node) {
        visit(left)
        visit(right)
        inputs = [places[left], places[right]].compactMap(\.self)
      }
      places[node] = boxes.count
      boxes.append(
        .init(
          node.count == 1 ? "\(node.lowerBound)" : "\(node.lowerBound)–\(node.upperBound - 1)",
          inputs: inputs,
          series: rank(node)))
    }
    visit(tree.root)
    return boxes
  }
}
