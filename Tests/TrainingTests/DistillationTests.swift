import Collectives
import Glibc
import Layers
import Models
import Tensors
import Testing
import Training

/// Steps that learn from a teacher.
@Suite struct DistillationTests {
  private static let distillation = Distillation(temperature: 3, weight: 0.7)

  /// A student without batch norm and dropout, whose scores are the same in training and alone.
  private func example() throws -> StepCase { try StepCase("lenet5", sizes: [5, 4, 3]) }

  /// A network with batch norm and dropout, running statistics that are not 0 and 1, and firm opinions.
  private func teacher(_ distillation: Distillation = distillation) throws -> (Teacher, Network, FloatBuffer)
  {
    let network = try ModelZoo.network(
      "seed_cnn", input: FeatureShape(channels: 3, height: 16, width: 16),
      options: .init(classes: StepCase.classes, dropout: 0.5))
    let values = network.initialValues(seed: 8)
    for (number, entry) in network.layout.statistics.enumerated() {
      let random = RandomStream(seed: 2, purpose: .test(number))
      entry.fill(values.pointer, with: (0..<entry.shape.count).map { 0.5 + random.uniform(at: $0) })
    }
    for entry in network.layout.parameters where entry.name == "classifier.weight" {
      entry.fill(values.pointer, with: entry.array(in: values.pointer).map { 30 * $0 })
    }
    return (Teacher(network, values: values, distillation: distillation, kernels: .detected), network, values)
  }

  private func settings(_ example: StepCase, _ teacher: Teacher, lanes: Int = 1, wave: Int = 0)
    -> TrainingStep.Settings
  {
    var settings = example.settings(lanes: lanes, wave: wave)
    settings.teacher = teacher
    return settings
  }

  /// (1 − α) of the cross-entropy, with label smoothing and class weights, and α T² of the divergence, a mean over the
  /// images of the step.
  @Test func theLossIsTheMixture() throws {
    let example = try example()
    let (teacher, network, values) = try teacher()
    let leaves = example.leaves()
    let inference = Inference(
      network.fused(for: .inference), values: values, images: 5, team: ThreadTeam(count: 1),
      kernels: .detected)
    inference.prepare()
    let temperature = Double(Self.distillation.temperature)
    func softened(_ scores: [Double]) -> [Double] {
      let exponentials = scores.map { exp($0 / temperature) }
      return exponentials.map { $0 / exponentials.reduce(0, +) }
    }
    var divergence = 0.0
    for (number, rows) in inference.probabilities(of: example.local).enumerated() {
      let images = example.local[number].images
      for image in 0..<images {
        let q = softened((0..<StepCase.classes).map { log(Double(rows[image * StepCase.classes + $0])) })
        let p = softened(
          (0..<StepCase.classes).map { Double(leaves[number].logits[$0 * images + image]) })
        divergence += zip(q, p).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
      }
    }
    let soft = temperature * temperature * divergence / Double(example.images)
    let hard = example.meanLoss(of: leaves)
    #expect(soft > 0.01 && abs(soft - hard) > 0.1)
    let result = try example.step(settings(example, teacher)).run(example.batch(), learningRate: 0)
    let share = Double(Self.distillation.weight)
    #expect(abs(result.meanLoss - ((1 - share) * hard + share * soft)) < 1e-5, "\(result.meanLoss)")
  }

  /// A small step downhill lowers the loss by the rate times the squared length of the gradient.
  @Test(arguments: [Float(0), 0.7, 1])
  func theGradientIsThatOfTheLoss(weight: Float) throws {
    let example = try example()
    let (teacher, _, _) = try teacher(Distillation(temperature: 3, weight: weight))
    let step = try example.step(settings(example, teacher))
    let rate = 1e-3
    let first = try step.run(example.batch(), learningRate: rate)
    let square = example.network.layout.parameters.reduce(0.0) { sum, entry in
      step.gradient(of: entry).reduce(sum) { $0 + Double($1) * Double($1) }
    }
    let second = try step.run(example.batch(step: 1), learningRate: rate)
    #expect(square > 0.01)
    #expect(abs((first.meanLoss - second.meanLoss) / (rate * square) - 1) < 0.02, "\(square)")
  }

  /// No weight for the teacher is no teacher; all of it makes labels unimportant.
  @Test func theWeightGoesFromLabelsToTheTeacher() throws {
    let example = try example()
    func values(_ weight: Float?, labels: StepCase) throws -> [Float] {
      var settings = labels.settings()
      settings.teacher = try weight.map { try teacher(Distillation(temperature: 2, weight: $0)).0 }
      let step = try labels.step(settings)
      _ = try step.run(labels.batch(), learningRate: 0.5)
      try step.settle()
      return Array(step.values.values.prefix(labels.network.layout.parameterExtent))
    }
    #expect(try values(0, labels: example) == values(nil, labels: example))
    let relabelled = example.relabelled { ($0 + 1) % Int32(StepCase.classes) }
    #expect(try values(1, labels: example) == values(1, labels: relabelled))
    #expect(try values(0.5, labels: example) != values(0.5, labels: relabelled))
    #expect(try values(1, labels: example) != values(0, labels: example))
  }

  @Test func lanesAndWavesLeaveTheBitsAlone() throws {
    let example = try StepCase("seed_cnn", sizes: [4, 4, 4, 3, 3])
    let (teacher, _, _) = try teacher()
    func values(lanes: Int, wave: Int) throws -> [Float] {
      let step = try example.step(settings(example, teacher, lanes: lanes, wave: wave))
      for number in 0..<2 { _ = try step.run(example.batch(step: number), learningRate: 0.1) }
      try step.settle()
      return Array(step.values.values.prefix(example.network.layout.extent))
    }
    let alone = try values(lanes: 1, wave: 0)
    for (lanes, wave) in [(1, 1), (1, 2), (2, 0), (3, 1)] {
      #expect(try values(lanes: lanes, wave: wave) == alone, "\(lanes) lanes, wave \(wave)")
    }
  }

  @Test func theTeacherCountsAsMemory() throws {
    let example = try example()
    let (teacher, network, _) = try teacher()
    let step = try example.step(settings(example, teacher, lanes: 2))
    let alone = try example.step(settings(example, teacher, lanes: 1))
    #expect(alone.memory.teacher > network.layout.parameterCount * 4)
    #expect(step.memory.teacher > alone.memory.teacher)
    #expect(try example.step().memory.teacher == 0)
    #expect(step.memory.total == (try example.step(lanes: 2)).memory.total + step.memory.teacher)
  }
}
