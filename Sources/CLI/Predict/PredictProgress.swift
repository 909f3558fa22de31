import Reports
import Tensors

/// Tells on stderr how a prediction goes: on a terminal one line is drawn again and again, elsewhere a line is
/// written every ten seconds, and nothing about what is done sooner.
final class PredictProgress {
  private static let secondsBetweenDrawings = 0.1
  private static let secondsBetweenLines = 10.0

  private let total: Int
  /// Images that were done before.
  private let before: Int
  private let screen: any Screen
  private let now: () -> Double
  private let start: Double
  private var lastOutput: Double
  private var isDrawn = false
  private(set) var done: Int

  init(total: Int, before: Int, screen: any Screen, now: @escaping () -> Double = monotonicSeconds) {
    (self.total, self.before, self.screen, self.now) = (total, before, screen, now)
    (start, lastOutput, done) = (now(), now(), before)
  }

  func show(_ done: Int) {
    self.done = done
    let pause = screen.width == nil ? Self.secondsBetweenLines : Self.secondsBetweenDrawings
    guard done < total, now() - lastOutput >= pause else { return }
    lastOutput = now()
    let speed = Double(done - before) / (now() - start)
    let details = ["\(Figures.speed(speed)) images/s", "\(Figures.clock(Double(total - done) / speed)) left"]
    guard let width = screen.width else {
      screen.write(
        "\(Figures.grouped(done)) of \(Figures.grouped(total)) images, \(details.joined(separator: ", "))\n")
      return
    }
    let line = ProgressLine(
      label: "images", done: done, total: total, details: details, unicode: screen.unicode)
    screen.write("\r" + line.text(width: width - 1) + Self.clearToEnd)
    isDrawn = true
  }

  /// The last line. `busy` is the share of the time in which lanes computed.
  func finish(unusable: Int, busy: Double) {
    let seconds = now() - start
    let speed = seconds > 0 ? Double(done - before) / seconds : 0
    var line =
      "\(Figures.grouped(done - before)) images in \(Figures.clock(seconds)), "
      + "\(Figures.speed(speed)) images/s, lanes computing \(Int((busy * 100).rounded())) % of the time"
    if unusable > 0 { line += "; \(Figures.grouped(unusable)) can't be used and have no prediction" }
    screen.write((isDrawn ? "\r" + Self.clearToEnd : "") + line + "\n")
  }

  private static let clearToEnd = "\u{1B}[K"
}
