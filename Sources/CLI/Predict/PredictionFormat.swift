import ArgumentParser
import Tensors
import Training

/// How predictions are written.
enum PredictionFormat: String, CaseIterable, ExpressibleByArgument {
  case csv, json, jsonl, safetensors

  /// What the end of a file's name says; nil where it says nothing.
  init?(ofFile path: String) {
    guard let dot = path.lastIndex(of: "."),
      let format = Self(rawValue: path[path.index(after: dot)...].lowercased())
    else { return nil }
    self = format
  }
}

/// Predictions as text: a row for each image, in the order of the images.
struct PredictionText: Sendable {
  let format: PredictionFormat
  let classes: [String]
  let features: Int
  /// Of an image.
  let name: @Sendable (Int) -> String
  /// Names of classes as the format writes them.
  private let quotedClasses: [String]

  init(
    _ format: PredictionFormat, classes: [String], features: Int, name: @escaping @Sendable (Int) -> String
  ) {
    precondition(format != .safetensors, "safetensors is no text")
    (self.format, self.classes, self.features, self.name) = (format, classes, features, name)
    quotedClasses = classes.map { format == .csv ? Self.field($0) : JSONText.quoted($0) }
  }

  /// What comes before the first row.
  var opening: String {
    switch format {
    case .csv:
      let columns = ["path", "predicted", "probability"] + quotedClasses
      return (columns + (0..<features).map { "feature_\($0)" }).joined(separator: ",") + "\n"
    case .json: return "["
    case .jsonl, .safetensors: return ""
    }
  }

  /// What comes behind the last row.
  var closing: String { format == .json ? "\n]\n" : "" }

  /// The rows of a block.
  func rows(_ block: PredictedBlock) -> [UInt8] {
    var text: [UInt8] = []
    for place in 0..<block.images.count {
      let image = block.images.lowerBound + place
      switch format {
      case .csv: appendCSV(block, place, name(image), to: &text)
      case .json:
        text += (image == 0 ? "\n  " : ",\n  ").utf8
        appendObject(block, place, name(image), to: &text)
      case .jsonl, .safetensors:
        appendObject(block, place, name(image), to: &text)
        text.append(UInt8(ascii: "\n"))
      }
    }
    return text
  }

  /// RFC 4180, lines end in LF. An image that can't be used has its path and empty fields.
  private func appendCSV(_ block: PredictedBlock, _ place: Int, _ name: String, to text: inout [UInt8]) {
    let values = block.values(place)
    text += Self.field(name).utf8
    if let predicted = block.predicted(place) {
      text += ",\(quotedClasses[predicted]),\(values[predicted])".utf8
      for value in values { text += ",\(value)".utf8 }
    } else {
      text += String(repeating: ",", count: 2 + values.count).utf8
    }
    text.append(UInt8(ascii: "\n"))
  }

  /// Classes stand in the network's order. An image that can't be used has null for all but its path.
  private func appendObject(_ block: PredictedBlock, _ place: Int, _ name: String, to text: inout [UInt8]) {
    let values = block.values(place)
    text += "{\"path\": \(JSONText.quoted(name)), ".utf8
    if let predicted = block.predicted(place) {
      text += "\"predicted\": \(quotedClasses[predicted]), \"probability\": \(values[predicted]), ".utf8
      text += "\"probabilities\": {".utf8
      for (label, name) in quotedClasses.enumerated() {
        text += "\(label == 0 ? "" : ", ")\(name): \(values[label])".utf8
      }
      text.append(UInt8(ascii: "}"))
      if features > 0 {
        let list = values[classes.count...].map { "\($0)" }.joined(separator: ", ")
        text += ", \"features\": [\(list)]".utf8
      }
    } else {
      text += "\"predicted\": null, \"probability\": null, \"probabilities\": null".utf8
      if features > 0 { text += ", \"features\": null".utf8 }
    }
    text.append(UInt8(ascii: "}"))
  }

  private static func field(_ text: String) -> String {
    guard text.utf8.contains(where: { ",\"\r\n".utf8.contains($0) }) else { return text }
    return "\"" + text.replacing("\"", with: "\"\"") + "\""
  }
}

extension PredictedBlock {
  /// Probabilities and features of an image, by its place in the block.
  fileprivate func values(_ place: Int) -> [Float] {
    Array(probabilities[(place * classes)..<((place + 1) * classes)])
      + featureRows[(place * features)..<((place + 1) * features)]
  }
}
