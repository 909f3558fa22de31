import Glibc

/// A network's answers that no metric can be made of.
package struct MetricsError: Error, CustomStringConvertible {
  package let description: String
}

/// How often images of each class were taken for each class.
package struct ConfusionMatrix: Codable, Equatable, Sendable {
  /// counts[c][p]: images of class c that were taken for p.
  package private(set) var counts: [[Int]]

  package init(classes: Int) {
    counts = Array(repeating: Array(repeating: 0, count: classes), count: classes)
  }

  package init(from decoder: any Decoder) throws {
    counts = try decoder.singleValueContainer().decode([[Int]].self)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(counts)
  }

  package mutating func add(label: Int, prediction: Int) { counts[label][prediction] += 1 }

  package var classes: Int { counts.count }
  package var images: Int { counts.reduce(0) { $0 + $1.reduce(0, +) } }
  package var correct: Int { counts.indices.reduce(0) { $0 + counts[$1][$1] } }

  /// Images of class c.
  package func labelled(_ c: Int) -> Int { counts[c].reduce(0, +) }

  /// Images taken for class c.
  package func predicted(_ c: Int) -> Int { counts.reduce(0) { $0 + $1[c] } }
}

/// What one class fares like.
package struct ClassMetrics: Codable, Equatable, Sendable {
  package let name: String
  package let images: Int
  /// Of the images taken for this class, the share that is of it; 0 where there are none.
  package let precision: Double
  /// Of the images of this class, the share that was taken for it; 0 where there are none.
  package let recall: Double
  /// 2 · precision · recall / (precision + recall).
  package let f1: Double
  /// The chance that an image of this class gets a higher probability of it than an image of another
  /// class, ties counting half; nil where one of the two is missing.
  package let auc: Double?
}

/// What a classifier fares like on a split. Sums run in the order of the images, in double, so the same
/// probabilities give the same report on any number of ranks.
package struct ClassificationReport: Codable, Equatable, Sendable {
  package let images: Int
  /// Mean of −log p(label), every image alike: without the smoothing and class weights of training.
  package let loss: Double
  package let accuracy: Double
  /// Mean recall of the classes that have images.
  package let balancedAccuracy: Double
  /// Means over the classes that have images or were taken for an image's class.
  package let macroPrecision: Double
  package let macroRecall: Double
  package let macroF1: Double
  /// Mean one-versus-rest AUC of the classes where it is defined; nil where it never is.
  package let macroAUC: Double?
  package let classes: [ClassMetrics]
  /// Rows are true classes, columns predictions.
  package let confusion: ConfusionMatrix

  enum CodingKeys: String, CodingKey {
    case images, loss, accuracy
    case balancedAccuracy = "balanced_accuracy"
    case macroPrecision = "macro_precision"
    case macroRecall = "macro_recall"
    case macroF1 = "macro_f1"
    case macroAUC = "macro_auc"
    case classes, confusion
  }

  /// From the probabilities (N, K), row by row, and the labels (N) of images in index order. The first
  /// of equal probabilities wins, as in PyTorch's argmax.
  package init(probabilities: [Float], labels: [Int], classes names: [String]) throws(MetricsError) {
    let count = names.count
    precondition(
      probabilities.count == labels.count * count && count > 0 && !labels.isEmpty,
      "a report expects (\(labels.count), \(count)) probabilities, got \(probabilities.count)")
    var confusion = ConfusionMatrix(classes: count)
    var loss = 0.0
    for (index, label) in labels.enumerated() {
      let row = probabilities[index * count..<(index + 1) * count]
      guard row.allSatisfy(\.isFinite) else {
        throw MetricsError(description: "the network's answer to image \(index) is not finite")
      }
      let best = row.indices.reduce(row.startIndex) { row[$1] > row[$0] ? $1 : $0 }
      confusion.add(label: label, prediction: best - row.startIndex)
      // A probability that float32 rounds to 0 counts as the smallest that it can tell from 0.
      loss -= log(Double(max(row[row.startIndex + label], .leastNormalMagnitude)))
    }
    let metrics = names.indices.map { c in
      let (right, labelled, predicted) = (
        confusion.counts[c][c], confusion.labelled(c), confusion.predicted(c)
      )
      let scores = stride(from: c, to: probabilities.count, by: count).map { probabilities[$0] }
      return ClassMetrics(
        name: names[c], images: labelled,
        precision: predicted == 0 ? 0 : Double(right) / Double(predicted),
        recall: labelled == 0 ? 0 : Double(right) / Double(labelled),
        f1: labelled + predicted == 0 ? 0 : 2 * Double(right) / Double(labelled + predicted),
        auc: Self.auc(scores: scores, positives: labels.map { $0 == c }))
    }
    let present = metrics.indices.filter { confusion.labelled($0) > 0 }.map { metrics[$0] }
    let seen = metrics.indices.filter { confusion.labelled($0) + confusion.predicted($0) > 0 }.map {
      metrics[$0]
    }
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    let areas = metrics.compactMap(\.auc)
    self.images = labels.count
    self.loss = loss / Double(labels.count)
    self.accuracy = Double(confusion.correct) / Double(labels.count)
    self.balancedAccuracy = mean(present.map(\.recall))
    self.macroPrecision = mean(seen.map(\.precision))
    self.macroRecall = mean(seen.map(\.recall))
    self.macroF1 = mean(seen.map(\.f1))
    self.macroAUC = areas.isEmpty ? nil : mean(areas)
    self.classes = metrics
    self.confusion = confusion
  }

  /// The area under the ROC curve by ranks (Mann–Whitney): (Σ ranks of positives − P(P + 1)/2) / (P · N),
  /// equal scores sharing their mean rank.
  static func auc(scores: [Float], positives: [Bool]) -> Double? {
    let order = scores.indices.sorted { scores[$0] < scores[$1] }
    let positive = Double(positives.count { $0 })
    let negative = Double(positives.count) - positive
    guard positive > 0, negative > 0 else { return nil }
    var rankSum = 0.0
    var start = 0
    while start < order.count {
      var end = start + 1
      while end < order.count, scores[order[end]] == scores[order[start]] { end += 1 }
      let meanRank = Double(start + 1 + end) / 2
      rankSum += meanRank * Double(order[start..<end].count { positives[$0] })
      start = end
    }
    return (rankSum - positive * (positive + 1) / 2) / (positive * negative)
  }

  /// The value of a metric that the best epoch is chosen by. AUC counts as 0.5 where it isn't defined.
  package func value(of metric: MonitoredMetric) -> Double {
    switch metric {
    case .accuracy: accuracy
    case .balancedAccuracy: balancedAccuracy
    case .loss: loss
    case .macroAUC: macroAUC ?? 0.5
    }
  }
}
