import Reports
import Tensors

/// Says on stderr how far something has come, every two seconds; nothing about what is done sooner.
final class SlowProgress {
  private static let secondsBetweenLines = 2.0

  private let what: String
  private let say: (String) -> Void
  private let now: () -> Double
  private var last: Double

  /// `what` follows the numbers: `images drawn`.
  init(
    _ what: String, say: @escaping (String) -> Void = Program.say,
    now: @escaping () -> Double = monotonicSeconds
  ) {
    (self.what, self.say, self.now) = (what, say, now)
    last = now()
  }

  func show(_ done: Int, of total: Int) {
    guard done < total, now() - last >= Self.secondsBetweenLines else { return }
    last = now()
    say("\(Figures.grouped(done)) of \(Figures.grouped(total)) \(what)")
  }
}
