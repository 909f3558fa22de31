import Foundation
import Tensors
import Training

/// `metrics.jsonl`: one JSON object a line, with `event` first and all counts from 0. Keys:
///
///     start       run directory, model, classes, images, ranks, …
///     step        epoch, step, loss, accuracy, learning_rate, images, images_per_second
///     epoch       training_loss, training_accuracy, validation (a report), is_best, seconds, …
///     checkpoint  path, step, is_best
///     warning     text
///     end         test (a report), weights_hash, images_by_rank, …
///
/// A run that goes on from a checkpoint drops what was written after that checkpoint, so the file reads
/// as if the run had never stopped.
package final class JSONLinesSink: RunSink {
  private let path: String
  private let stepsBetweenLines: Int
  private let complain: (FileError) -> Void
  private var file: LineFile?
  /// Lines from before the start, when the file isn't open yet: a resumed run may have something to say.
  private var early: [String] = []
  private var hasStarted = false

  package init(
    path: String, stepsBetweenLines: Int, complain: @escaping (FileError) -> Void = LineFile.toStandardError
  ) {
    precondition(
      stepsBetweenLines > 0,
      "a metrics file expects at least one step between lines, got \(stepsBetweenLines)")
    self.path = path
    self.stepsBetweenLines = stepsBetweenLines
    self.complain = complain
  }

  package func receive(_ event: RunEvent) {
    switch event {
    case .started(let run):
      begin(at: run.firstStep)
      hasStarted = true
      for line in early { file?.append(line) }
      early = []
      write("start", run)
    case .step(let step):
      if (step.step + 1) % stepsBetweenLines == 0 { write("step", step) }
    case .evaluating, .notice: break
    case .epoch(let epoch): write("epoch", epoch)
    case .checkpoint(let path, let step, let isBest):
      write("checkpoint", CheckpointLine(path: path, step: step, isBest: isBest))
    case .warning(let text): write("warning", ["text": text])
    case .finished(let summary): write("end", summary)
    }
  }

  private struct CheckpointLine: Encodable {
    let path: String
    let step: Int
    let isBest: Bool
  }

  /// Opens the file, without the lines of steps from `firstStep` on.
  private func begin(at firstStep: Int) {
    do {
      try MetricsHistory.cut(path, before: firstStep)
      file = try LineFile(path: path, complain: complain)
    } catch {
      complain(error)
    }
  }

  private func write(_ event: String, _ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // A diverged run has such losses; JSON has no numbers for them.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    guard let data = try? encoder.encode(value) else {
      preconditionFailure("a \(event) event expects to be encodable, got \(value)")
    }
    let fields = String(decoding: data, as: UTF8.self).dropFirst()
    let line = "{\"event\":\(JSONText.quoted(event))\(fields == "}" ? "" : ",")\(fields)"
    if let file { file.append(line) } else if !hasStarted { early.append(line) }
  }
}

/// The lines that an earlier part of a run left in `metrics.jsonl`.
enum MetricsHistory {
  /// Keeps what was written before step `firstStep` was taken; a last line that was cut off goes too.
  static func cut(_ path: String, before firstStep: Int) throws(FileError) {
    guard let data = FileManager.default.contents(atPath: path), !data.isEmpty else { return }
    let lines = data.split(separator: UInt8(ascii: "\n"))
    let kept = lines.filter { isBefore(firstStep, line: $0) }
    guard kept.count < lines.count || data.last != UInt8(ascii: "\n") else { return }
    try DurableFile.replace(path, with: kept.flatMap { Array($0) + [UInt8(ascii: "\n")] })
  }

  private static func isBefore(_ firstStep: Int, line: Data) -> Bool {
    guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any],
      let event = object["event"] as? String
    else { return false }
    let step = object["step"] as? Int ?? 0
    switch event {
    case "start": return (object["first_step"] as? Int ?? 0) < firstStep
    case "step": return step < firstStep
    case "epoch", "checkpoint": return step <= firstStep
    case "end": return false
    default: return true
    }
  }
}
