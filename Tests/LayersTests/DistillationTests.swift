import Layers
import Tensors
import Testing

@Suite struct DistillationTests {
  private struct Hyper: Decodable {
    let temperature: Float
    let weight: Float
    let smoothing: Float
  }

  private struct Outcome: Equatable {
    /// Σₙ T² Σₖ q (log q − log p).
    var divergence: Double
    /// (N, K).
    var dLogits: [Float]
  }

  /// Logits (N, K); the gradient is added to `given`, or to zeros.
  private func run(
    _ distillation: Distillation, _ z: Tensor, _ t: Tensor, batch: Int? = nil, onto given: Tensor? = nil,
    kernels: InstructionSet = .detected
  ) -> Outcome {
    let (student, teacher) = (GuardedBuffer(z.blocked), GuardedBuffer(t.blocked))
    let dLogits = GuardedBuffer((given ?? Tensor(shape: z.shape)).blocked)
    let (images, classes) = (z.shape[0], z.shape[1])
    let divergence = distillation.forwardBackward(
      .init(logits: student.pointer, n: images, images: 0..<images),
      .init(logits: teacher.pointer, n: images, images: 0..<images), classes: classes, batch: batch ?? images,
      dLogits: dLogits.pointer, kernels: kernels)
    #expect(student.isIntact && teacher.isIntact && dLogits.isIntact)
    return Outcome(
      divergence: divergence,
      dLogits: dLogits.values.nchw(images: images, FeatureShape(channels: classes)).values)
  }

  /// With the cross-entropy that it comes on top of, against (1 − α) C + α T² KL in fp64.
  @Test func agreesWithPyTorchOnEveryInstructionSet() throws {
    let golden = try GoldenFile("distillation")
    for (name, hyper) in try golden.cases(Hyper.self) {
      let (z, t) = (try golden.tensor("\(name)/z"), try golden.tensor("\(name)/t"))
      let labels = try golden.integers("\(name)/labels").map(Int32.init)
      let images = labels.count
      let loss = SoftmaxCrossEntropy(
        classes: z.shape[1], labelSmoothing: hyper.smoothing,
        classWeights: golden.has("\(name)/weights") ? try golden.tensor("\(name)/weights").values : nil)
      let distillation = Distillation(temperature: hyper.temperature, weight: hyper.weight)
      let (hard, soft) = (
        Double(try golden.tensor("\(name)/hard").values[0]),
        Double(try golden.tensor("\(name)/soft").values[0])
      )
      for kernels in InstructionSet.allCases where kernels <= .detected {
        let (logits, dLogits) = (GuardedBuffer(z.blocked), GuardedBuffer(count: z.blocked.count))
        let sums = loss.forwardBackward(
          logits: logits.pointer, n: images, images: 0..<images, labels: labels,
          denominator: loss.denominator(of: labels) / (1 - hyper.weight), dLogits: dLogits.pointer,
          kernels: kernels)
        #expect(logits.isIntact && dLogits.isIntact)
        let labelsOnly = dLogits.values.nchw(images: images, FeatureShape(channels: z.shape[1]))
        let result = run(distillation, z, t, onto: labelsOnly, kernels: kernels)
        #expect(abs(sums.loss / Double(loss.denominator(of: labels)) - hard) < 1e-6 * max(1, hard), "\(name)")
        #expect(abs(result.divergence / Double(images) - soft) < 2e-6 * max(1, soft), "\(name): divergence")
        #expect(
          maxRelativeError(result.dLogits, try golden.tensor("\(name)/dz").values) < 1e-6, "\(name): dz")
      }
    }
  }

  @Test func givesEqualBitsOnEveryInstructionSet() {
    for (images, classes) in [(1, 2), (7, 3), (16, 10), (31, 5), (33, 100)] {
      let (z, t) = (scaled(20, [images, classes], 1), scaled(20, [images, classes], 2))
      let distillation = Distillation(temperature: 3, weight: 0.4)
      let expected = run(distillation, z, t, kernels: .ref)
      for kernels in InstructionSet.allCases where kernels > .ref && kernels <= .detected {
        #expect(run(distillation, z, t, kernels: kernels) == expected)
      }
    }
  }

  private func scaled(_ factor: Float, _ shape: Shape, _ number: Int) -> Tensor {
    Tensor(shape: shape, values: Tensor.random(shape, number: number).values.map { factor * $0 })
  }

  @Test func hasTheGradientOfItsLoss() {
    let distillation = Distillation(temperature: 2, weight: 1)
    var z = scaled(3, [5, 4], 1)
    let t = scaled(3, [5, 4], 2)
    let gradient = run(distillation, z, t, batch: 1).dLogits
    let largest = gradient.map(abs).max() ?? 0
    #expect(largest > 0.1)
    for index in z.values.indices {
      let value = z.values[index]
      z.values[index] = value + 1e-2
      let above = run(distillation, z, t).divergence
      z.values[index] = value - 1e-2
      let below = run(distillation, z, t).divergence
      z.values[index] = value
      let slope = (above - below) / Double((value + 1e-2) - (value - 1e-2))
      #expect(abs(slope - Double(gradient[index])) < 1e-4 * Double(largest), "\(slope) \(gradient[index])")
    }
  }

  /// A student that is its teacher has nothing to learn, also with other constants added to its scores; otherwise
  /// the divergence is positive, and an image's gradient sums to 0.
  @Test func measuresADivergence() {
    let distillation = Distillation(temperature: 4, weight: 0.5)
    let t = scaled(5, [9, 6], 1)
    let same = run(distillation, Tensor(shape: t.shape, values: t.values.map { $0 + 8 }), t)
    #expect(abs(same.divergence) < 1e-4 && same.dLogits.allSatisfy { abs($0) < 1e-6 })
    let other = run(distillation, scaled(5, [9, 6], 2), t)
    #expect(other.divergence > 1)
    for image in 0..<9 {
      let row = other.dLogits[(image * 6)..<(image * 6 + 6)]
      #expect(abs(row.reduce(0, +)) < 1e-6 && row.contains { abs($0) > 1e-3 })
    }
  }

  @Test func hidesNoNaN() {
    let distillation = Distillation(temperature: 2, weight: 0.5)
    for place in 0..<3 {
      let (z, t) = (scaled(1, [2, 3], 1), scaled(1, [2, 3], 2))
      var broken = z
      broken.values[3 + place] = .nan
      #expect(run(distillation, broken, t).divergence.isNaN)
      #expect(run(distillation, t, broken).divergence.isNaN)
    }
    // A class that the teacher excludes costs nothing where the student excludes it too.
    let excluded = Tensor(shape: [1, 3], values: [1, 2, -.infinity])
    #expect(
      run(distillation, excluded, Tensor(shape: [1, 3], values: [2, 1, -.infinity])).divergence.isFinite)
  }

  /// A microbatch in a wave beside a teacher with another number of images in memory: only its images are touched,
  /// with the bits that they have alone.
  @Test(arguments: InstructionSet.available)
  func worksOnARangeOfImages(kernels: InstructionSet) {
    let distillation = Distillation(temperature: 3, weight: 0.7)
    for classes in [2, 16, 37] {
      let (z, t) = (scaled(4, [7, classes], classes), scaled(4, [5, classes], classes + 1))
      let onto = Tensor.random([7, classes], number: 3)
      let (student, teacher, dLogits) = (
        GuardedBuffer(z.blocked), GuardedBuffer(t.blocked), GuardedBuffer(onto.blocked)
      )
      let divergence = distillation.forwardBackward(
        .init(logits: student.pointer, n: 7, images: 2..<5),
        .init(logits: teacher.pointer, n: 5, images: 1..<4), classes: classes, batch: 7,
        dLogits: dLogits.pointer, kernels: kernels)
      #expect(student.isIntact && teacher.isIntact && dLogits.isIntact)
      let alone = run(
        distillation, z.images(2..<5), t.images(1..<4), batch: 7, onto: onto.images(2..<5), kernels: kernels)
      #expect(divergence == alone.divergence)
      let written = dLogits.values.nchw(images: 7, FeatureShape(channels: classes))
      #expect(written.images(2..<5).values == alone.dLogits)
      for image in [0, 1, 5, 6] {
        #expect(written.images(image..<(image + 1)).values == onto.images(image..<(image + 1)).values)
      }
    }
  }
}
