import Foundation
import Reports
import Training

/// Events as `Training` would send them.
enum Samples {
  static func run(firstStep: Int = 0) throws -> RunDescription {
    try decode(
      """
      {"directory": "runs/a", "model": "seed_cnn", "parameters": 2193862, "multiplyAdds": 20100000,
       "classes": ["cat", "dog"], "trainingImages": 200, "validationImages": 40, "testImages": 1040, "epochs": 3,
       "stepsPerEpoch": 4, "firstStep": \(firstStep), "batch": 64, "microbatch": 16, "instructionSet": "avx2",
       "blasKernel": "Haswell", "places": [
         {"rank": 0, "host": "n1", "cores": [0, 1, 2], "lanes": 3, "pinned": true},
         {"rank": 1, "host": "node2", "cores": [4], "lanes": 1, "pinned": false}],
       "memory": [
         {"sharers": 1, "weights": 8000000, "average": 0, "optimizer": 4000000, "prepared": 70000,
          "activations": 30000000, "gradients": 8000000, "tree": 1000000, "exchange": 500000,
          "teacher": 0},
         {"sharers": 1, "weights": 8000000, "average": 0, "optimizer": 4000000, "prepared": 0,
          "activations": 10000000, "gradients": 8000000, "tree": 0, "exchange": 500000, "teacher": 0}]}
      """)
  }

  /// The step `step` of a run with 4 steps an epoch, with 64, 64, 64 and 8 images.
  static func step(_ step: Int, loss: Double = 1, accuracy: Double = 0.5) throws -> StepReport {
    let images = step % 4 == 3 ? 8 : 64
    return try decode(
      """
      {"epoch": \(step / 4), "step": \(step), "stepInEpoch": \(step % 4), "stepsPerEpoch": 4, "totalSteps": 12,
       "images": \(images), "loss": \(loss), "accuracy": \(accuracy), "learningRate": 0.001,
       "imagesPerSecond": 50}
      """)
  }

  static func epoch(_ epoch: Int, validated: Bool = true) throws -> EpochReport {
    var report: EpochReport = try decode(
      """
      {"epoch": \(epoch), "epochs": 3, "step": \(4 * epoch + 4), "trainingLoss": 0.75, "trainingAccuracy": 0.625,
       "imagesPerSecond": 345.6, "seconds": 61.4, "learningRate": 0.001, "isBest": true,
       "division": {"wait": 0.011, "compute": 0.9, "reduce": 0.05, "update": 0.02, "gather": 0.01, "check": 0.004}}
      """)
    if validated { report.validation = try classification() }
    return report
  }

  static func summary() throws -> RunSummary {
    var summary: RunSummary = try decode(
      """
      {"directory": "runs/a", "classes": ["cat", "dog"], "epochs": 3, "steps": 12, "seconds": 75, "imagesPerSecond": 8.04,
       "weightsHash": "0123456789abcdef", "bestEpoch": 1, "imagesByRank": [1500, 300]}
      """)
    summary.test = try classification()
    return summary
  }

  /// Three of four right: a cat was taken for a dog.
  static func classification() throws -> ClassificationReport {
    try ClassificationReport(
      probabilities: [0.9, 0.1, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6], labels: [0, 0, 1, 1], classes: ["cat", "dog"])
  }

  private static func decode<Value: Decodable>(_ text: String) throws -> Value {
    try JSONDecoder().decode(Value.self, from: Data(text.utf8))
  }
}

/// A screen that remembers.
final class FakeScreen: Screen {
  var width: Int?
  var unicode = false
  private(set) var text = ""

  init(width: Int?) { self.width = width }

  func write(_ text: String) { self.text += text }

  /// What has been written since the last call.
  func take() -> String {
    defer { text = "" }
    return text
  }
}

/// A clock that is turned by hand.
final class FakeClock {
  var seconds = 0.0
}
