import CKernels
import Tensors

/// The loss: cross-entropy of the softmax of the logits, as PyTorch's `F.cross_entropy` with
/// `label_smoothing` and `weight`, whose mean is
///
///     L = Σₙ [(1 − ε) w[yₙ] (−log p[yₙ]) + ε/K Σₖ w[k] (−log p[k])] / Σₙ w[yₙ]
///
/// for the logits z (N, K) of a microbatch, p = softmax(z), labels y (N), class weights w (K). The sum
/// below the line runs over the global batch, so whoever knows all its labels passes it in.
///
/// Logits lie in blocks of 16 classes, (K/16, N, 16), of all images of a wave; a call works on a range of
/// them, and labels are those of the range.
/// Label smoothing: Szegedy et al. 2016 (arXiv:1512.00567).
package struct SoftmaxCrossEntropy: Sendable, Equatable {
  package let classes: Int
  package let labelSmoothing: Float
  /// w; nil where every class weighs 1.
  package let classWeights: [Float]?
  /// The same, padded to whole blocks by zeros.
  private let blockedWeights: [Float]?
  private let weightSum: Float

  /// Label smoothing ε in 0 ... 1, class weights not negative.
  package init(classes: Int, labelSmoothing: Float = 0, classWeights: [Float]? = nil) {
    precondition(classes >= 1, "a loss expects at least one class, got \(classes)")
    precondition(0...1 ~= labelSmoothing, "label smoothing expects 0 ... 1, got \(labelSmoothing)")
    precondition(
      classWeights.map { $0.count == classes && $0.allSatisfy { $0 >= 0 } } ?? true,
      "\(classes) classes expect as many weights, none negative, got \(classWeights ?? [])")
    self.classes = classes
    self.labelSmoothing = labelSmoothing
    self.classWeights = classWeights
    weightSum = classWeights?.reduce(0, +) ?? Float(classes)
    let padding = Array(repeating: Float(0), count: (classes + 15) / 16 * 16 - classes)
    blockedWeights = classWeights.map { $0 + padding }
  }

  /// Sums over the images of a microbatch.
  package struct Sums: Sendable, Equatable {
    /// The numerator of L, added in the order of the images.
    package var loss: Double
    /// Images whose greatest logit, the first of equals, is their label's.
    package var correct: Int
  }

  /// Σₙ w[yₙ], the denominator of L for these labels.
  package func denominator(of labels: some Sequence<Int32>) -> Float {
    guard let classWeights else { return Float(labels.reduce(0) { count, _ in count + 1 }) }
    return Float(labels.reduce(0.0) { $0 + Double(classWeights[Int($1)]) })
  }

  /// The sums over `images` of the `n` in memory, and their dL/dz, which is divided by `denominator`.
  /// Overwrites `images` of `dLogits`. A NaN among an image's logits makes its loss NaN.
  package func forwardBackward(
    logits: UnsafePointer<Float>, n: Int, images: Range<Int>, labels: UnsafePointer<Int32>,
    denominator: Float, dLogits: UnsafeMutablePointer<Float>, kernels: InstructionSet
  ) -> Sums {
    precondition(denominator > 0, "a loss expects a positive denominator, got \(denominator)")
    return run(logits, n, images, labels, denominator, dLogits, kernels)
  }

  /// The sums over `images` of the `n` in memory, without a gradient.
  package func forward(
    logits: UnsafePointer<Float>, n: Int, images: Range<Int>, labels: UnsafePointer<Int32>,
    kernels: InstructionSet
  ) -> Sums {
    run(logits, n, images, labels, 1, nil, kernels)
  }

  private func run(
    _ logits: UnsafePointer<Float>, _ n: Int, _ images: Range<Int>, _ labels: UnsafePointer<Int32>,
    _ denominator: Float, _ dLogits: UnsafeMutablePointer<Float>?, _ kernels: InstructionSet
  ) -> Sums {
    precondition(
      images.lowerBound >= 0 && images.upperBound <= n, "\(n) images in memory don't include \(images)")
    for index in 0..<images.count {
      precondition(
        0..<classes ~= Int(labels[index]),
        "a label expects 0 ..< \(classes), got \(labels[index]) for image \(images.lowerBound + index)")
    }
    let table = cnn_softmax_kernels_for(kernels.kernelTable).pointee
    func sums(_ weights: UnsafePointer<Float>?) -> Sums {
      var task = cnn_cross_entropy(
        classes: classes, n: n, first: images.lowerBound, images: images.count, smoothing: labelSmoothing,
        class_weights: weights, weight_sum: weightSum, denominator: denominator)
      let sums = table.cross_entropy(&task, logits, labels, dLogits)
      return Sums(loss: sums.loss, correct: sums.correct)
    }
    return blockedWeights?.withUnsafeBufferPointer { sums($0.baseAddress) } ?? sums(nil)
  }

  /// softmax of the logits of `images` of the `n` in memory, a row for each. Overwrites `probabilities`
  /// (images, K).
  package static func probabilities(
    logits: UnsafePointer<Float>, classes: Int, n: Int, images: Range<Int>,
    into probabilities: UnsafeMutablePointer<Float>, kernels: InstructionSet
  ) {
    cnn_softmax_kernels_for(kernels.kernelTable).pointee
      .softmax(probabilities, logits, classes, n, images.lowerBound, images.count)
  }
}
