import Foundation
import Layers
import Tensors
import Testing

@Suite struct SoftmaxCrossEntropyTests {
  private struct Hyper: Decodable {
    let smoothing: Float
    let correct: Int
  }

  private struct Outcome: Equatable {
    var sums: SoftmaxCrossEntropy.Sums
    /// (N, K).
    var dLogits: [Float]
  }

  /// Logits (N, K).
  private func run(
    _ loss: SoftmaxCrossEntropy, _ z: Tensor, _ labels: [Int32], denominator: Float? = nil,
    kernels: InstructionSet = .detected
  ) -> Outcome {
    let logits = GuardedBuffer(z.blocked)
    let dLogits = GuardedBuffer(count: logits.count)
    let sums = loss.forwardBackward(
      logits: logits.pointer, n: labels.count, images: 0..<labels.count, labels: labels,
      denominator: denominator ?? loss.denominator(of: labels), dLogits: dLogits.pointer, kernels: kernels)
    #expect(logits.isIntact && dLogits.isIntact)
    let only = loss.forward(
      logits: logits.pointer, n: labels.count, images: 0..<labels.count, labels: labels, kernels: kernels)
    #expect(only == sums || sums.loss.isNaN && only.loss.isNaN)
    let shape = FeatureShape(channels: loss.classes)
    return Outcome(sums: sums, dLogits: dLogits.values.nchw(images: labels.count, shape).values)
  }

  @Test func agreesWithPyTorchOnEveryInstructionSet() throws {
    let golden = try GoldenFile("cross_entropy")
    for (name, hyper) in try golden.cases(Hyper.self) {
      let z = try golden.tensor("\(name)/z")
      let labels = try golden.integers("\(name)/labels").map(Int32.init)
      let loss = SoftmaxCrossEntropy(
        classes: z.shape[1], labelSmoothing: hyper.smoothing,
        classWeights: golden.has("\(name)/weights") ? try golden.tensor("\(name)/weights").values : nil)
      let expected = Double(try golden.tensor("\(name)/loss").values[0])
      for kernels in InstructionSet.allCases where kernels <= .detected {
        let result = run(loss, z, labels, kernels: kernels)
        let mean = result.sums.loss / Double(loss.denominator(of: labels))
        #expect(abs(mean - expected) < 1e-6 * max(1, expected), "\(name): loss")
        #expect(result.sums.correct == hyper.correct, "\(name): correct")
        #expect(
          maxRelativeError(result.dLogits, try golden.tensor("\(name)/dz").values) < 1e-6, "\(name): dz")
        let p = GuardedBuffer(count: z.shape.count)
        SoftmaxCrossEntropy.probabilities(
          logits: GuardedBuffer(z.blocked).pointer, classes: z.shape[1], n: z.shape[0],
          images: 0..<z.shape[0], into: p.pointer, kernels: kernels)
        #expect(p.isIntact)
        #expect(
          maxRelativeError(p.values, try golden.tensor("\(name)/probabilities").values) < 1e-6, "\(name): p")
      }
    }
  }

  @Test func givesEqualBitsOnEveryInstructionSet() {
    for (images, classes) in [(1, 2), (7, 3), (16, 10), (31, 5), (33, 100)] {
      let z = Tensor(
        shape: [images, classes], values: Tensor.random([images, classes], number: 1).values.map { 20 * $0 })
      let labels = (0..<images).map { Int32($0 % classes) }
      let loss = SoftmaxCrossEntropy(classes: classes, labelSmoothing: 0.1)
      let expected = run(loss, z, labels, kernels: .ref)
      for kernels in InstructionSet.allCases where kernels > .ref && kernels <= .detected {
        #expect(run(loss, z, labels, kernels: kernels) == expected)
      }
    }
  }

  @Test func hasTheGradientOfItsLoss() {
    let weights: [Float] = [0.5, 2, 1, 0.25]
    let loss = SoftmaxCrossEntropy(classes: 4, labelSmoothing: 0.2, classWeights: weights)
    let labels: [Int32] = [3, 0, 1, 1, 2]
    var z = Tensor.random([5, 4], number: 1)
    let gradient = run(loss, z, labels, denominator: 1).dLogits
    let largest = gradient.map(abs).max() ?? 0
    for index in z.values.indices {
      let value = z.values[index]
      z.values[index] = value + 1e-2
      let above = run(loss, z, labels).sums.loss
      z.values[index] = value - 1e-2
      let below = run(loss, z, labels).sums.loss
      z.values[index] = value
      let slope = (above - below) / Double((value + 1e-2) - (value - 1e-2))
      #expect(abs(slope - Double(gradient[index])) < 1e-4 * Double(largest))
    }
  }

  /// An image's gradient sums to 0 over the classes, a common shift of its logits changes nothing, and
  /// its numbers don't depend on how many images stand beside it.
  @Test func keepsWhatSoftmaxKeeps() {
    let loss = SoftmaxCrossEntropy(classes: 6, labelSmoothing: 0.1)
    let z = Tensor.random([20, 6], number: 1)
    let labels = (0..<20).map { Int32($0 % 6) }
    let result = run(loss, z, labels, denominator: 20)
    for image in 0..<20 {
      #expect(abs(result.dLogits[(image * 6)..<(image * 6 + 6)].reduce(0, +)) < 1e-7)
    }
    let shifted = Tensor(shape: z.shape, values: z.values.map { $0 + 1024 })
    #expect(abs(run(loss, shifted, labels, denominator: 20).sums.loss - result.sums.loss) < 1e-2)
    let alone = run(
      loss, Tensor(shape: [1, 6], values: Array(z.values.suffix(6))), [labels[19]], denominator: 20)
    #expect(alone.dLogits == Array(result.dLogits.suffix(6)))
  }

  @Test func hidesNoNaN() {
    let loss = SoftmaxCrossEntropy(classes: 3)
    for place in 0..<3 {
      var z = Tensor.random([4, 3], number: 1)
      z.values[3 + place] = .nan
      #expect(run(loss, z, [0, 1, 2, 0]).sums.loss.isNaN)
    }
    var z = Tensor.random([1, 3], number: 1)
    z.values[0] = .infinity
    #expect(run(loss, z, [1]).sums.loss.isNaN)
    // A class that is impossible costs nothing where it isn't the label.
    z.values[0] = -.infinity
    let result = run(loss, z, [1])
    #expect(result.sums.loss.isFinite && result.dLogits[0] == 0)
    #expect(run(loss, z, [0]).sums.loss == .infinity)
  }

  @Test func countsTheFirstOfEqualLogits() {
    let loss = SoftmaxCrossEntropy(classes: 3)
    let z = Tensor(shape: [2, 3], values: [1, 5, 5, 2, 2, 2])
    #expect(run(loss, z, [1, 0]).sums.correct == 2)
    #expect(run(loss, z, [2, 1]).sums.correct == 0)
  }

  @Test func addsTheWeightsOfTheLabels() {
    #expect(SoftmaxCrossEntropy(classes: 3).denominator(of: [0, 2, 2]) == 3)
    #expect(SoftmaxCrossEntropy(classes: 3, classWeights: [1, 2, 4]).denominator(of: [0, 2, 2]) == 9)
  }

  /// exp and log of the kernels against the C library's in double, through two classes: the loss of
  /// logits (0, −t) for label 0 is log(1 + e^−t).
  @Test func computesExpAndLogToTheLastBits() {
    let loss = SoftmaxCrossEntropy(classes: 2)
    for step in 0..<2000 {
      let t = Float(step) * 0.05
      let result = run(loss, Tensor(shape: [1, 2], values: [0, -t]), [0])
      let p = exp(-Double(t)) / (1 + exp(-Double(t)))
      // Below e^−87 a float's exp is 0 here: less than the smallest normal number.
      #expect(abs(Double(result.dLogits[1]) - p) <= 4e-7 * p + 2e-38)
      #expect(abs(result.sums.loss - log1p(exp(-Double(t)))) < 2e-7)
    }
  }

  /// A microbatch in a wave: only its images are touched, with the bits that they have alone; lanes of classes
  /// that don't exist come out as zeros.
  @Test(arguments: InstructionSet.available)
  func worksOnARangeOfImages(kernels: InstructionSet) {
    for classes in [2, 16, 37] {
      let weights = classes == 16 ? (0..<classes).map { 0.5 + Float($0) } : nil
      let loss = SoftmaxCrossEntropy(classes: classes, labelSmoothing: 0.1, classWeights: weights)
      let z = Tensor.random([7, classes], number: classes)
      let labels = (0..<7).map { Int32(5 * $0 % classes) }
      let logits = GuardedBuffer(z.blocked)
      let dLogits = GuardedBuffer(count: logits.count)
      let p = GuardedBuffer(count: 3 * classes)
      let range = 2..<5
      let sums = loss.forwardBackward(
        logits: logits.pointer, n: 7, images: range, labels: Array(labels[range]), denominator: 7,
        dLogits: dLogits.pointer, kernels: kernels)
      SoftmaxCrossEntropy.probabilities(
        logits: logits.pointer, classes: classes, n: 7, images: range, into: p.pointer, kernels: kernels)
      #expect(logits.isIntact && dLogits.isIntact && p.isIntact)
      let alone = run(loss, z.images(range), Array(labels[range]), denominator: 7, kernels: kernels)
      #expect(sums == alone.sums)
      let written = dLogits.values.nchw(images: 7, FeatureShape(channels: classes))
      #expect(written.images(range).values == alone.dLogits)
      for image in 0..<7 where !range.contains(image) {
        #expect(written.images(image..<(image + 1)).values.allSatisfy { $0.isNaN })
      }
      let blocks = FeatureShape(channels: classes).blocks
      let last = dLogits.values[((blocks - 1) * 7 * 16)...].enumerated()
      #expect(
        last.allSatisfy { lane, value in
          !range.contains(lane / 16) || lane % 16 < classes - 16 * (blocks - 1) || value == 0
        })
      for image in 0..<3 {
        let row = p.values[(image * classes)..<((image + 1) * classes)]
        #expect(abs(row.reduce(0, +) - 1) < 1e-6)
      }
    }
  }
}
