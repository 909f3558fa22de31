import Layers

/// The loss of a run: its formula, and what an image of each class counts in it.
package struct LossSettings: Sendable {
  package let function: SoftmaxCrossEntropy

  /// - Parameter labels: of the training split, for `class_weights: balanced`.
  package init(_ config: LossConfig, labels: [Int], classes: Int) throws(LayerError) {
    let classWeights: [Float]?
    switch config.classWeights {
    case .equal: classWeights = nil
    case .balanced:
      var counts = Array(repeating: 0, count: classes)
      for label in labels { counts[label] += 1 }
      classWeights = counts.map { $0 == 0 ? 0 : Float(Double(labels.count) / Double(classes * $0)) }
    case .listed(let weights):
      guard weights.count == classes else {
        throw LayerError(
          "loss.class_weights expects \(classes) numbers, one for each class, got \(weights.count)")
      }
      classWeights = weights.map { Float($0) }
    }
    function = SoftmaxCrossEntropy(
      classes: classes, labelSmoothing: Float(config.labelSmoothing), classWeights: classWeights)
  }
}
