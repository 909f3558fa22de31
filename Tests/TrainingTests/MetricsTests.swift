import Foundation
import Tensors
import Testing
import Training

@Suite struct MetricsTests {
  /// 8 images of 3 classes, worked out by hand: predictions 0 0 1 1 1 0 2 2.
  private static let labels = [0, 0, 0, 1, 1, 1, 2, 2]
  private static let probabilities: [Float] = [
    0.7, 0.2, 0.1,
    0.6, 0.3, 0.1,
    0.3, 0.5, 0.2,
    0.2, 0.6, 0.2,
    0.1, 0.8, 0.1,
    0.5, 0.4, 0.1,
    0.1, 0.1, 0.8,
    0.3, 0.2, 0.5,
  ]

  @Test func figuresWorkedOutByHand() throws {
    let report = try ClassificationReport(
      probabilities: Self.probabilities, labels: Self.labels, classes: ["a", "b", "c"])
    #expect(report.confusion.counts == [[2, 1, 0], [1, 2, 0], [0, 0, 2]])
    #expect(report.images == 8)
    #expect(report.accuracy == 0.75)
    let meanRecall: Double = 7.0 / 9
    #expect(abs(report.balancedAccuracy - meanRecall) < 1e-15)
    #expect(report.classes.map(\.images) == [3, 3, 2])
    let shares: [Double] = [2.0 / 3, 2.0 / 3, 1]
    #expect(report.classes.map(\.precision) == shares)
    #expect(report.classes.map(\.recall) == shares)
    #expect(report.classes.map(\.f1) == shares)
    // Class a: positives 0.7 0.6 0.3 against 0.2 0.1 0.5 0.1 0.3: 5 + 5 + 3.5 of 15 pairs.
    // Class b: positives 0.6 0.8 0.4 against 0.2 0.3 0.5 0.1 0.2: 5 + 5 + 4 of 15.
    // Class c: every pair of 12 in order.
    let areas: [Double?] = [13.5 / 15, 14.0 / 15, 1]
    #expect(report.classes.map(\.auc) == areas)
    let meanArea: Double = 42.5 / 45
    #expect(abs((report.macroAUC ?? 0) - meanArea) < 1e-15)
    let given: [Double] = [0.7, 0.6, 0.3, 0.6, 0.8, 0.4, 0.8, 0.5]
    let loss: Double = -given.reduce(0) { $0 + log($1) } / 8
    #expect(abs(report.loss - loss) < 1e-7)
  }

  @Test func absentClassesDoNotCount() throws {
    // No image of class b, one taken for it; class d neither.
    let report = try ClassificationReport(
      probabilities: [0.8, 0.1, 0.1, 0, 0.3, 0.5, 0.2, 0, 0.2, 0.2, 0.6, 0], labels: [0, 0, 2],
      classes: ["a", "b", "c", "d"])
    #expect(report.balancedAccuracy == 0.75)
    #expect(report.macroRecall == 0.5)
    #expect(report.macroPrecision == 2 / 3.0)
    #expect(report.classes[1].auc == nil && report.classes[3].auc == nil)
    #expect(report.classes[1].f1 == 0 && report.classes[3].f1 == 0)
    let one = try ClassificationReport(probabilities: [1, 0], labels: [0], classes: ["a", "b"])
    #expect(one.macroAUC == nil)
    #expect(one.value(of: .macroAUC) == 0.5)
  }

  @Test func firstOfEqualsWins() throws {
    let report = try ClassificationReport(
      probabilities: [0.4, 0.4, 0.2], labels: [1], classes: ["a", "b", "c"])
    #expect(report.confusion.counts[1] == [1, 0, 0])
  }

  @Test func aucEqualsTheCountOfPairsInOrder() throws {
    let stream = RandomStream(seed: 7, purpose: .test(1))
    let count = 200
    // Scores in steps of 1/16, so that many are equal.
    let scores = (0..<count).map { Float(stream.integer(at: $0, below: 16)) / 16 }
    let labels = (0..<count).map { stream.integer(at: 1000 + $0, below: 3) == 0 ? 0 : 1 }
    let probabilities = scores.flatMap { [$0, 1 - $0] }
    let report = try ClassificationReport(probabilities: probabilities, labels: labels, classes: ["a", "b"])
    var (pairs, inOrder) = (0.0, 0.0)
    for i in 0..<count where labels[i] == 0 {
      for j in 0..<count where labels[j] == 1 {
        pairs += 1
        inOrder += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0
      }
    }
    #expect(abs((report.classes[0].auc ?? 0) - inOrder / pairs) < 1e-12)
  }

  @Test func probabilityZeroIsAFiniteLoss() throws {
    let report = try ClassificationReport(probabilities: [1, 0], labels: [1], classes: ["a", "b"])
    #expect(report.loss > 87 && report.loss < 88)
  }

  @Test func answersThatAreNotFiniteAreRefused() {
    #expect {
      try ClassificationReport(probabilities: [1, 0, .nan, 0], labels: [0, 1], classes: ["a", "b"])
    } throws: {
      "\($0)" == "the network's answer to image 1 is not finite"
    }
  }

  @Test func jsonKeepsEverything() throws {
    let report = try ClassificationReport(
      probabilities: Self.probabilities, labels: Self.labels, classes: ["a", "b", "c"])
    let data = try JSONEncoder().encode(report)
    #expect(try JSONDecoder().decode(ClassificationReport.self, from: data) == report)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object["accuracy"] as? Double == 0.75)
    #expect(object["confusion"] as? [[Int]] == [[2, 1, 0], [1, 2, 0], [0, 0, 2]])
  }

  @Test func tablesLineUp() throws {
    let report = try ClassificationReport(
      probabilities: Self.probabilities, labels: Self.labels, classes: ["a", "basophil", "c"])
    #expect(
      report.confusionTable == """
        true \\ predicted  a  basophil  c
        a                 2         1  0
        basophil          1         2  0
        c                 0         0  2
        """)
    #expect(
      report.classTable == """
        class     images  precision  recall      F1     AUC
        a              3     0.6667  0.6667  0.6667  0.9000
        basophil       3     0.6667  0.6667  0.6667  0.9333
        c              2     1.0000  1.0000  1.0000  1.0000
        mean           8     0.7778  0.7778  0.7778  0.9444
        """)
    #expect(
      report.summaryLine.hasPrefix(
        "accuracy 0.7500, balanced accuracy 0.7778, macro F1 0.7778, macro AUC 0.9444, loss "))
  }
}
