import CKernels
import Tensors

/// The loss: cross-entropy of the softmax of the logits, as PyTorch's `F.cross_entropy` with
/// `label_smoothing` and `weight`, whose mean is
///
///     L = Σₙ [(1 − ε) w[yₙ] (−log p[yₙ]) + ε/K Σₖ w[k] (−log p[k])] / Σₙ w[yₙ]
///
/// for the logits z (K, N) of a microbatch, p = softmax(z), labels y (N), class weights w (K). The sum
/// below the line runs over the global batch, so whoever knows all its labels passes it in.
/// Label smoothing: Szegedy et al. 2016 (arXiv:1512.00567).
package struct SoftmaxCrossEntropy: Sendable, Equatable {
  package let classes: Int
  package let labelSmoothing: Float
  /// w; nil where every class weighs 1.
  package let classWeights: [Float]?
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

  /// The sums of a microbatch, and dL/dz (K, N), which is divided by `denominator`. Overwrites
  /// `dLogits`. A NaN among an image's logits makes its loss NaN.
  package func forwardBackward(
    logits: UnsafePointer<Float>, labels: UnsafePointer<Int32>, images: Int, denominator: Float,
    dLogits: UnsafeMutablePointer<Float>, kernels: InstructionSet
  ) -> Sums {
    precondition(denominator > 0, "a loss expects a positive denominator, got \(denominator)")
    return run(logits, labels, images, denominator, dLogits, kernels)
  }

  /// The sums of a microbatch, without a gradient.
  package func forward(
    logits: UnsafePointer<Float>, labels: UnsafePointer<Int32>, images: Int, kernels: InstructionSet
  ) -> Sums {
    run(logits, labels, images, 1, nil, kernels)
  }

  private func run(
    _ logits: UnsafePointer<Float>, _ labels: UnsafePointer<Int32>, _ images: Int, _ denominator: Float,
    _ dLogits: UnsafeMutablePointer<Float>?, _ kernels: InstructionSet
  ) -> Sums {
    for image in 0..<images {
      precondition(
        0..<classes ~= Int(labels[image]),
        "a label expects 0 ..< \(classes), got \(labels[image]) for image \(image)")
    }
    let table = cnn_softmax_kernels_for(kernels.kernelTable).pointee
    func sums(_ weights: UnsafePointer<Float>?) -> Sums {
      var task = cnn_cross_entropy(
        classes: classes, images: images, smoothing: labelSmoothing, class_weights: weights,
        weight_sum: weightSum, denominator: denominator)
      let sums = table.cross_entropy(&task, logits, labels, dLogits)
      return Sums(loss: sums.loss, correct: sums.correct)
    }
    return classWeights?.withUnsafeBufferPointer { sums($0.baseAddress) } ?? sums(nil)
  }

  /// softmax of logits (K, N), a row for each image. Overwrites `probabilities` (N, K).
  package static func probabilities(
    logits: UnsafePointer<Float>, classes: Int, images: Int, into probabilities: UnsafeMutablePointer<Float>,
    kernels: InstructionSet
  ) {
    cnn_softmax_kernels_for(kernels.kernelTable).pointee.softmax(probabilities, logits, classes, images)
  }
}
