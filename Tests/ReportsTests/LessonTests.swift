import Layers
import Models
import Reports
import Tensors
import Testing
import Training

/// The lessons' numbers are the chapter's, and come from the engine.
@Suite struct LessonTests {
  private func lesson(_ name: String, _ input: LessonInput = LessonInput()) throws -> Lesson {
    var input = input
    if input.data == nil, input.run == nil {
      (input.cells.images, input.cells.size, input.cells.epochs, input.cells.handEpochs) = (90, 16, 2, 10)
    }
    return try Lessons.topic(named: name).make(input)
  }

  /// An engine whose convolutions and pools, and gradients, come out a little too large.
  private struct Spoilt: LessonEngine {
    let inner = KernelEngine()
    func run(
      _ layer: any Layer, _ inputs: [Batch], parameters: [Tensor], statistics: [Tensor], mode: Mode,
      outputGradient: Batch?, epoch: Int
    ) throws(LayerError) -> LayerResult {
      var result = try inner.run(
        layer, inputs, parameters: parameters, statistics: statistics, mode: mode,
        outputGradient: outputGradient, epoch: epoch)
      for index in result.output.values.indices { result.output.values[index] += Float(index % 3) + 0.5 }
      for array in result.parameterGradients.indices {
        for index in result.parameterGradients[array].values.indices {
          result.parameterGradients[array].values[index] *= 1.25
        }
      }
      return result
    }

    func crossEntropy(_ scores: Batch, labels: [Int32]) -> (loss: Double, gradient: Batch) {
      var found = inner.crossEntropy(scores, labels: labels)
      found.loss *= 1.25
      return found
    }

    func descend(
      _ optimizer: OptimizerConfig, from start: [Float], steps: Int, slope: ([Float]) -> [Float]
    ) -> [[Float]] {
      inner.descend(optimizer, from: start, steps: steps) { slope($0).map { $0 * 0.75 + 0.125 } }
    }

    func add(_ a: [Float], _ b: [Float]) -> [Float] { inner.add(a, b).map { $0 * 1.0625 } }
  }

  /// By hand: 8 · middle − neighbours of the 5×5 picture.
  @Test func convolutionGivesTheChaptersNumbers() throws {
    let lesson = try lesson("convolution")
    let picture: [[Double]] = [
      [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0],
    ]
    let wanted = (0..<9).map { place -> Double in
      let (row, column) = (place / 3, place % 3)
      let window = (0..<9).reduce(0.0) { $0 + picture[row + $1 / 3][column + $1 % 3] }
      return 9 * picture[row + 1][column + 1] - window
    }
    #expect(lesson.numbers["output"] == wanted)
    #expect(lesson.steps.count == 9)
    let crossed = try #require(lesson.numbers["cross_correlation"])
    #expect(lesson.numbers["true_convolution"] == crossed.map { -$0 })
    #expect(crossed.contains { $0 != 0 })
  }

  @Test func outputSizesAreTheFormulas() throws {
    #expect(try lesson("output-size").numbers["sides"] == [5, 3, 7, 3, 3])
    var input = LessonInput()
    (input.size, input.kernel, input.stride, input.padding) = (224, 7, 2, 3)
    #expect(try lesson("output-size", input).numbers["sides"]?.last == 112)
    // He et al. 2015: a unit of the last stage of ResNet-18 sees 435 pixels.
    input.model = "resnet18"
    #expect(try lesson("output-size", input).numbers["receptive_fields"]?.max().map { $0 >= 435 } == true)
  }

  @Test func aKernelLargerThanTheImageIsRefused() throws {
    var input = LessonInput()
    (input.size, input.kernel) = (3, 5)
    let error = #expect(throws: LayerError.self) { try lesson("output-size", input) }
    #expect(error?.description.contains("(5, 5)") == true && error?.description.contains("(1, 3, 3)") == true)
  }

  @Test func poolsGiveTheChaptersNumbers() throws {
    let numbers = try lesson("pooling").numbers
    #expect(numbers["max"] == [6, 8, 9, 5])
    #expect(numbers["average"] == [3.75, 5.25, 3.75, 2.75])
    for (variance, size) in zip(numbers["variances"] ?? [], [1.0, 2, 3, 4]) {
      #expect(abs(variance * size * size - 1) < 0.25)
    }
    let changes = try #require(numbers["shift_changes"])
    #expect(changes[0] > changes[2])
  }

  @Test func parametersAreTheChapters() throws {
    #expect(try lesson("parameters").numbers["dense"] == [784_000, 150_528_000, 3_145_728_000])
    var input = LessonInput()
    (input.size, input.channels, input.units) = (32, 3, 10)
    #expect(try lesson("parameters", input).numbers["dense"]?.last == 30_720)
  }

  @Test func aConvolutionIsItsMatrixAndBackwardTheTranspose() throws {
    let numbers = try lesson("matrix").numbers
    let matrix = try #require(numbers["matrix"])
    #expect(matrix.filter { $0 == 0 }.count == 36 && matrix[0] == 1 && matrix[5] == 4 && matrix[17] == 1)
    let inner = try #require(numbers["inner_products"])
    #expect(abs(inner[0] - inner[1]) < 1e-5 * max(1, abs(inner[0])))
    for (a, b) in zip(numbers["by_matrix"] ?? [], numbers["by_engine"] ?? []) { #expect(abs(a - b) < 1e-5) }
  }

  @Test func onlyBordersAndStridesBreakEquivariance() throws {
    let gaps = try #require(try lesson("equivariance").numbers["differences"])
    #expect(gaps.count == 7)
    for index in [0, 2, 3, 5] { #expect(gaps[index] < 1e-5) }
    for index in [1, 4, 6] { #expect(gaps[index] > 1e-3) }
  }

  @Test func normsDropoutSoftmaxAndOptimizersDoWhatTheySay() throws {
    let norm = try lesson("batchnorm").numbers
    #expect(abs(norm["normalised"]?[0] ?? 1) < 1e-4 && abs((norm["normalised"]?[1] ?? 0) - 1) < 1e-3)
    #expect(abs((norm["scaled"]?[0] ?? 0) - 1) < 1e-4 && abs((norm["scaled"]?[1] ?? 0) - 0.5) < 1e-3)
    let deviations = try #require(norm["deviations_of_mean"])
    #expect(abs(deviations[5] - 0.25) < 0.05)
    let dropout = try lesson("dropout").numbers
    #expect(abs((dropout["kept"]?[0] ?? 0) - 0.5) < 0.01)
    #expect(abs((dropout["mean"]?[0] ?? 9) - (dropout["whole"]?[0] ?? 0)) < 0.15)
    let softmax = try lesson("softmax").numbers
    for (p, wanted) in zip(softmax["probabilities"] ?? [], [0.659001, 0.242433, 0.098566]) {
      #expect(abs(p - wanted) < 1e-5)
    }
    #expect(abs((softmax["gradient"]?[0] ?? 0) + 0.340999) < 1e-5)
    let ways = try lesson("optimizer").numbers
    // Plain descent: each coordinate shrinks by 1 − η·curvature a step.
    let (x, y) = (-4 * 0.96, 1.3 * (1 - 0.04 * 20))
    #expect(abs((ways["SGD"]?[1] ?? 0) - 0.5 * (x * x + 20 * y * y)) < 1e-4)
    #expect((ways["Nesterov 0.9"]?.last ?? 9) < (ways["SGD"]?.last ?? 0))
  }

  @Test func backwardAgreesWithFiniteDifferences() throws {
    let numbers = try lesson("backprop").numbers
    #expect((numbers["error"]?[0] ?? 1) < 1e-4)
    // dw[0, 0] = Σ dy · x over the upper left 3×3.
    let corner: Double = 1 * 1 - 1 * 0 + 2 * 0 + 1 * 1 - 1 * 1 + 1 * 0
    #expect(numbers["dw"]?[0] == corner)
  }

  @Test func treesGiveTheSameBitsAndPlainSumsDoNot() throws {
    let numbers = try lesson("allreduce").numbers
    #expect(numbers["tree"] == [0, 0, 0, 0, 0])
    #expect(numbers["plain"]?[0] == 0 && (numbers["plain"] ?? []).dropFirst().allSatisfy { $0 > 0 })
  }

  /// A plain sum that moves one number by two last bits on four ranks.
  @Test func jobsOnRealRanksAreComparedBitByBit() throws {
    var input = LessonInput()
    #expect(try lesson("allreduce", input).text.contains("no mpirun"))
    input.jobs = StepJobs(of: "a step of a test") { ranks, isTree in
      let isOther = !isTree && ranks == 4
      return StepJobs.Made(
        gradients: [
          .init(name: "conv.weight", values: [0.5, isOther ? Float(-1.5).nextDown.nextDown : -1.5, 2])
        ],
        weightsHashes: [isOther ? "b" : "a"])
    }
    let lesson = try lesson("allreduce", input)
    #expect(lesson.numbers["jobs_tree"] == [0, 0, 0] && lesson.numbers["jobs_plain"] == [0, 0, 1])
    #expect(lesson.text.contains("a step of a test") && lesson.text.contains("2 last bits"))
    #expect(lesson.text.contains("(bfc00002) by 4 ranks, plain sum"))
    #expect(Self.collisions(in: lesson.figure, width: 400).isEmpty)
  }

  /// A filter at right angles to its neighbours adds what it has in common with a window, and no more.
  @Test func filtersAreABasis() throws {
    let numbers = try lesson("matrix").numbers
    let (window, answers, gaps) = (
      try #require(numbers["window"]), try #require(numbers["coordinates"]),
      try #require(numbers["rebuilt_gaps"])
    )
    // Parseval: the coordinates are as long as the window.
    let lengths = [window, answers].map { $0.reduce(0) { $0 + $1 * $1 } }
    #expect(abs(lengths[0] - lengths[1]) < 1e-5 * lengths[0] && lengths[0] > 0)
    #expect(gaps[8] < 1e-6 && zip(gaps, gaps.dropFirst()).allSatisfy { $0 >= $1 - 1e-7 })
    #expect(abs(answers[0] - window.reduce(0, +) / 3) < 1e-5)
  }

  /// (A + λ)⁻¹ A w* for L2; for one shared weight Σ A w* / Σ A; and each weight shrunk by its formula.
  @Test func constraintsLeadWhereTheirFormulasSay() throws {
    let numbers = try lesson("by-hand").numbers
    let (x, y) = (1.0 * 2 + 0.3 * 0.7, 0.3 * 2 + 0.8 * 0.7)
    let determinant = 2.0 * 1.8 - 0.3 * 0.3
    let l2 = try #require(numbers["l2"])
    #expect(abs(l2[0] - (1.8 * x - 0.3 * y) / determinant) < 1e-4)
    #expect(abs(l2[1] - (2 * y - 0.3 * x) / determinant) < 1e-4)
    let shared = try #require(numbers["shared"])
    #expect(shared[0] == shared[1] && abs(shared[0] - (x + y) / 2.4) < 1e-4)
    // With w₂ = 0 the rest is 1 · w₁ = x − λ.
    let l1 = try #require(numbers["l1"])
    #expect(abs(l1[0] - (x - 0.8)) < 0.02 && abs(l1[1]) < 0.02)
    let (byL2, byL1) = (try #require(numbers["shrunk_l2"]), try #require(numbers["shrunk_l1"]))
    for (index, target) in (-8...8).map({ Double($0) / 4 }).enumerated() {
      #expect(abs(byL2[index] - target / 2) < 1e-4)
      let soft = target == 0 ? 0 : target / abs(target) * max(0, abs(target) - 0.5)
      #expect(abs(byL1[index] - soft) < 0.02)
    }
  }

  /// Enough cells to learn from: the classifier on the bank is better than guessing, L1 leaves zeros, L2 small weights.
  @Test func filtersByHandTellCellsApart() throws {
    var input = LessonInput()
    (input.cells.images, input.cells.size, input.cells.epochs, input.cells.handEpochs) = (360, 24, 2, 15)
    let numbers = try Lessons.topic(named: "by-hand").make(input).numbers
    let accuracies = try #require(numbers["hand_accuracy"])
    #expect(accuracies.count == 3 && accuracies.allSatisfy { $0 > 1.5 / 6 })
    let (zeros, norms) = (try #require(numbers["zeros"]), try #require(numbers["norms"]))
    #expect(zeros[2] > zeros[0] && norms[1] < norms[0])
    #expect((numbers["features"] ?? []).count == 20 * 16)
  }

  /// With another engine each lesson says something else: nothing is computed beside it.
  @Test(arguments: [
    "convolution", "pooling", "matrix", "equivariance", "batchnorm", "dropout", "activation", "softmax",
    "optimizer", "backprop", "by-hand", "allreduce",
  ]) func numbersComeFromTheEngine(topic: String) throws {
    var input = LessonInput()
    let right = try lesson(topic, input)
    input.engine = Spoilt()
    let wrong = try lesson(topic, input)
    #expect(right.numbers != wrong.numbers && right.text != wrong.text)
    #expect(right.figure.svg() != wrong.figure.svg())
  }

  @Test func pagesHaveParagraphsThatFlowAndTablesAsTheyAre() {
    let page = LessonSite.prose("One\nsentence < two.\n\n  a  b\n\n  c  d\n\nMore.")
    #expect(page == "<p>One sentence &lt; two.</p>\n<pre>  a  b\n\n  c  d</pre>\n<p>More.</p>")
  }

  @Test func unknownTopicsOfferTheNearest() {
    let error = #expect(throws: LessonError.self) { try Lessons.topic(named: "convolutoin") }
    #expect(error?.description == "there is no topic \"convolutoin\"; nearest: convolution")
    let lost = #expect(throws: LessonError.self) { try Lessons.topic(named: "xyzzyxyzzy") }
    #expect(lost?.description.contains("backprop") == true)
  }

  @Test(arguments: ["filters", "features"]) func whatIsLearnedNeedsARun(topic: String) {
    let error = #expect(throws: LessonError.self) { try lesson(topic) }
    #expect(error?.description.contains("--run RUN") == true)
  }

  /// No panel leaves the paper or meets another, on a page and on a telephone; and every letter has an outline.
  @Test(arguments: Lessons.topics.filter { !$0.needsRun }.map(\.name)) func picturesFitTheirPaper(
    topic: String
  ) throws {
    let lesson = try lesson(topic)
    for width in [400.0, 900] {
      let frames = lesson.figure.frames(width: width)
      let height = lesson.figure.height(width: width)
      for (index, frame) in frames.enumerated() {
        #expect(frame.x >= 0 && frame.maxX <= width && frame.maxY <= height)
        for other in frames.dropFirst(index + 1) {
          #expect(
            frame.maxX < other.x || other.maxX < frame.x || frame.maxY < other.y || other.maxY < frame.y)
        }
      }
    }
  }

  /// No text leaves the paper or runs into another, at widths of a page, of a telephone, and between.
  @Test(arguments: Lessons.topics.filter { !$0.needsRun }.map(\.name)) func textsStandApart(topic: String)
    throws
  {
    let lesson = try lesson(topic)
    for figure in [lesson.figure] + lesson.steps {
      for width in [400.0, 640, 900] { #expect(Self.collisions(in: figure, width: width).isEmpty) }
    }
  }

  /// Texts that are cut off or meet another one, or have letters without an outline.
  static func collisions(in figure: Figure, width: Double) -> [String] {
    let (texts, height) = (figure.texts(width: width), figure.height(width: width))
    var found: [String] = []
    for (index, (text, frame)) in texts.enumerated() where !text.isEmpty {
      if frame.x < 0 || frame.maxX > width || frame.y < 0 || frame.maxY > height {
        found.append("\(text) leaves the paper of \(width)")
      }
      if text.unicodeScalars.contains(where: { $0.value > 32 && !TextWeight.regular.outlines.has($0) }) {
        found.append("\(text) has letters without an outline")
      }
      for (other, place) in texts.dropFirst(index + 1) where !other.isEmpty {
        if frame.x < place.maxX, place.x < frame.maxX, frame.y < place.maxY, place.y < frame.maxY {
          found.append("\(text) meets \(other) at \(width)")
        }
      }
    }
    return found
  }
}
