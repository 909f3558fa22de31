import Tensors
import Training

/// What a network takes images for.
struct Predictions {
  struct Row {
    let path: String
    /// Its place in the classes; the first of equal probabilities wins, as in PyTorch's argmax.
    let predicted: Int
    /// One for each class.
    let probabilities: [Float]
  }

  let classes: [String]
  let rows: [Row]

  /// From the probabilities (N, K), row by row. Throws `RunError` where one is not finite.
  init(classes: [String], paths: [String], probabilities: [Float]) throws {
    let count = classes.count
    precondition(
      probabilities.count == paths.count * count,
      "predictions expect (\(paths.count), \(count)) probabilities, got \(probabilities.count)")
    self.classes = classes
    rows = try paths.enumerated().map { number, path in
      let row = Array(probabilities[(number * count)..<((number + 1) * count)])
      guard row.allSatisfy(\.isFinite) else { throw RunError("\(path): the network's answer is not finite") }
      return Row(
        path: path, predicted: row.indices.reduce(0) { row[$1] > row[$0] ? $1 : $0 }, probabilities: row)
    }
  }

  /// A header and a line for each image (RFC 4180, lines end in LF).
  var csv: String {
    let header = ["path", "predicted", "probability"] + classes
    let lines = rows.map { row in
      [row.path, classes[row.predicted], "\(row.probabilities[row.predicted])"]
        + row.probabilities.map { "\($0)" }
    }
    return ([header] + lines).map { $0.map(Self.field).joined(separator: ",") + "\n" }.joined()
  }

  private static func field(_ text: String) -> String {
    guard text.contains(where: { ",\"\r\n".contains($0) || $0 == "\r\n" }) else { return text }
    return "\"" + text.replacing("\"", with: "\"\"") + "\""
  }

  /// A JSON array with an object on a line for each image; classes stand in the network's order.
  var json: String {
    let objects = rows.map { row in
      let each = zip(classes, row.probabilities).map { "\(JSONText.quoted($0)): \($1)" }.joined(
        separator: ", ")
      return "  {\"path\": \(JSONText.quoted(row.path)), "
        + "\"predicted\": \(JSONText.quoted(classes[row.predicted])), "
        + "\"probability\": \(row.probabilities[row.predicted]), \"probabilities\": {\(each)}}"
    }
    return "[\n\(objects.joined(separator: ",\n"))\n]\n"
  }
}
