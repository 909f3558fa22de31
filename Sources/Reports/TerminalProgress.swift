import Glibc
import Training

/// Tells people how a run goes. On a terminal one line is drawn again and again, with what is worth
/// keeping above it; elsewhere lines are written, at most one every two seconds and one for each epoch.
package final class TerminalProgress: RunSink {
  private static let secondsBetweenDrawings = 0.1
  private static let secondsBetweenLines = 2.0

  private let screen: any Screen
  private let now: () -> Double
  private var run: RunDescription?
  private var running = RunningMeans()
  private var lastOutput = -Double.infinity
  /// Whether the last line on the terminal is the progress line.
  private var isDrawn = false

  package convenience init(environment: [String: String]) {
    self.init(screen: StandardOutput(environment: environment), now: Self.monotonicSeconds)
  }

  /// `now` gives seconds on a clock that never goes back.
  package init(screen: any Screen, now: @escaping () -> Double) {
    self.screen = screen
    self.now = now
  }

  package func receive(_ event: RunEvent) {
    switch event {
    case .started(let description):
      run = description
      keep(RunText.lines(description))
    case .step(let step): show(step)
    case .evaluating(let split, let done, let total):
      draw(
        ProgressLine(
          label: "evaluating \(split)", done: done, total: total, details: [], unicode: screen.unicode))
    case .epoch(let epoch): keep([RunText.line(epoch)])
    case .checkpoint: break
    case .notice(let text): keep([text])
    case .warning(let text): keep(["warning: \(text)"])
    case .finished(let summary): keep(RunText.lines(summary))
    }
  }

  /// Loss and accuracy are means over the epoch so far.
  private func show(_ step: StepReport) {
    running.add(step)
    let isLast = step.stepInEpoch + 1 == step.stepsPerEpoch
    guard screen.width != nil else {
      guard now() - lastOutput >= Self.secondsBetweenLines, !isLast else { return }
      var soFar = step
      (soFar.loss, soFar.accuracy) = (running.loss, running.accuracy)
      return keep([RunText.line(soFar, epochs: run?.epochs ?? step.epoch + 1)])
    }
    let details = [
      "loss \(Figures.decimal(running.loss))", "accuracy \(Figures.decimal(running.accuracy))",
      "\(Figures.speed(step.imagesPerSecond)) images/s", "\(Figures.clock(secondsLeft(after: step))) left",
    ]
    draw(
      ProgressLine(
        label: "epoch \(step.epoch + 1)/\(run?.epochs ?? step.epoch + 1)", done: step.stepInEpoch + 1,
        total: step.stepsPerEpoch, details: details, unicode: screen.unicode),
      always: isLast)
  }

  /// Evaluations and checkpoints not counted.
  private func secondsLeft(after step: StepReport) -> Double {
    guard let run, run.stepsPerEpoch > 0, step.imagesPerSecond > 0 else { return .infinity }
    let imagesPerStep = Double(run.trainingImages) / Double(run.stepsPerEpoch)
    return Double(step.totalSteps - step.step - 1) * imagesPerStep / step.imagesPerSecond
  }

  private func draw(_ line: ProgressLine, always: Bool = false) {
    guard let width = screen.width, always || now() - lastOutput >= Self.secondsBetweenDrawings else {
      return
    }
    // One column stays free: some terminals go to the next line when the last one is filled.
    screen.write("\r" + line.text(width: width - 1) + Self.clearToEnd)
    isDrawn = true
    lastOutput = now()
  }

  /// Writes lines that stay, in the place of the progress line.
  private func keep(_ lines: [String]) {
    screen.write((isDrawn ? "\r" + Self.clearToEnd : "") + lines.map { $0 + "\n" }.joined())
    isDrawn = false
    lastOutput = now()
  }

  private static let clearToEnd = "\u{1B}[K"

  private static func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

/// Means over the images of an epoch so far.
private struct RunningMeans {
  private var epoch = -1
  private var images = 0.0
  private var lossSum = 0.0
  private var accuracySum = 0.0

  mutating func add(_ step: StepReport) {
    if step.epoch != epoch {
      self = RunningMeans()
      epoch = step.epoch
    }
    images += Double(step.images)
    lossSum += step.loss * Double(step.images)
    accuracySum += step.accuracy * Double(step.images)
  }

  var loss: Double { lossSum / images }
  var accuracy: Double { accuracySum / images }
}
