import Foundation
import Tensors
import Training

/// `log.txt`: what happened, a line each with the time (UTC) before it. Appended to when a run goes on.
package final class LogFileSink: RunSink {
  private let file: LineFile
  private let stepsBetweenLines: Int
  private let time: () -> Date
  private let format = Date.ISO8601FormatStyle()
  private var epochs = 0

  /// Throws `FileError`.
  package init(
    path: String, stepsBetweenLines: Int, time: @escaping () -> Date = { Date() },
    complain: @escaping (FileError) -> Void = LineFile.toStandardError
  ) throws(FileError) {
    precondition(
      stepsBetweenLines > 0, "a log expects at least one step between lines, got \(stepsBetweenLines)")
    file = try LineFile(path: path, complain: complain)
    self.stepsBetweenLines = stepsBetweenLines
    self.time = time
  }

  package func receive(_ event: RunEvent) {
    switch event {
    case .started(let run):
      epochs = run.epochs
      append(RunText.lines(run))
    case .step(let step):
      guard (step.step + 1) % stepsBetweenLines == 0 else { return }
      append([RunText.line(step, epochs: epochs) + ", learning rate \(step.learningRate)"])
    case .evaluating: break
    case .epoch(let epoch):
      append([
        RunText.line(epoch) + ", learning rate \(epoch.learningRate); " + RunText.line(epoch.division)
      ])
    case .checkpoint(let path, let step, let isBest):
      append([RunText.line(checkpoint: path, step: step, isBest: isBest)])
    case .notice(let text): append([text])
    case .warning(let text): append(["warning: \(text)"])
    case .finished(let summary):
      append([
        "images computed by rank: " + summary.imagesByRank.map(Figures.grouped).joined(separator: " + ")
      ])
      append(RunText.lines(summary))
    }
  }

  private func append(_ lines: [String]) {
    let stamp = time().formatted(format)
    for line in lines { file.append(line.isEmpty ? stamp : "\(stamp) \(line)") }
  }
}
