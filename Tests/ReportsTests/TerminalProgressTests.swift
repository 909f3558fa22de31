import Reports
import Testing
import Training

@Suite struct TerminalProgressTests {
  private let clock = FakeClock()

  private func progress(width: Int?) throws -> (TerminalProgress, FakeScreen) {
    let screen = FakeScreen(width: width)
    let clock = clock
    let progress = TerminalProgress(screen: screen, now: { clock.seconds })
    progress.receive(.started(try Samples.run()))
    _ = screen.take()
    clock.seconds += 10
    return (progress, screen)
  }

  @Test func theLineIsDrawnInItsOwnPlace() throws {
    let (progress, screen) = try progress(width: 100)
    progress.receive(.step(try Samples.step(0, loss: 2, accuracy: 0.25)))
    let expected =
      "epoch 1/3  ######..................  1/4  loss 2.0000  accuracy 0.2500  50.0 images/s  0:11 left"
    #expect(screen.take() == "\r\(expected)\u{1B}[K")
    clock.seconds += 1
    progress.receive(.step(try Samples.step(1, loss: 1, accuracy: 0.75)))
    let second = screen.take()
    #expect(second.hasPrefix("\r") && second.hasSuffix("\u{1B}[K") && !second.contains("\n"))
    // Means over the epoch so far; 10 of 12 steps of 50 images each are left, at 50 images/s.
    #expect(second.contains("2/4  loss 1.5000  accuracy 0.5000  50.0 images/s  0:10 left"))
  }

  @Test func meansWeighImagesAndBeginAnewWithAnEpoch() throws {
    let (progress, screen) = try progress(width: 100)
    for (step, loss) in [(2, 1.0), (3, 10.0), (4, 7.0)] {
      clock.seconds += 1
      progress.receive(.step(try Samples.step(step, loss: loss)))
    }
    let drawn = screen.take()
    #expect(drawn.contains("4/4  loss 2.0000"), "(64 · 1 + 8 · 10) / 72")
    #expect(drawn.contains("epoch 2/3") && drawn.contains("1/4  loss 7.0000"))
  }

  @Test func itIsNotDrawnTooOftenButAlwaysAtTheEndOfAnEpoch() throws {
    let (progress, screen) = try progress(width: 100)
    progress.receive(.step(try Samples.step(0)))
    progress.receive(.step(try Samples.step(1)))
    progress.receive(.step(try Samples.step(2)))
    #expect(screen.text.filter { $0 == "\r" }.count == 1)
    progress.receive(.step(try Samples.step(3)))
    #expect(screen.text.contains("4/4"))
  }

  @Test func whatStaysIsWrittenAboveTheLine() throws {
    let (progress, screen) = try progress(width: 100)
    progress.receive(.step(try Samples.step(0)))
    _ = screen.take()
    progress.receive(.warning("two ranks idle"))
    #expect(screen.take() == "\r\u{1B}[Kwarning: two ranks idle\n")
    progress.receive(.notice("said"))
    #expect(screen.take() == "said\n")
  }

  @Test func evaluationsAreShownOnATerminalOnly() throws {
    let (progress, screen) = try progress(width: 60)
    progress.receive(.evaluating(split: "val", done: 10, of: 40))
    #expect(screen.take().contains("evaluating val") && screen.width == 60)
    let (plain, file) = try self.progress(width: nil)
    plain.receive(.evaluating(split: "val", done: 10, of: 40))
    #expect(file.take() == "")
  }

  @Test func aFileGetsALineEveryTwoSecondsAndOneAnEpoch() throws {
    let (progress, screen) = try progress(width: nil)
    progress.receive(.step(try Samples.step(0, loss: 2)))
    clock.seconds += 1.9
    progress.receive(.step(try Samples.step(1)))
    clock.seconds += 0.1
    progress.receive(.step(try Samples.step(2)))
    clock.seconds += 5
    progress.receive(.step(try Samples.step(3)))
    progress.receive(.epoch(try Samples.epoch(0)))
    let lines = screen.take().split(separator: "\n").map(String.init)
    #expect(lines.count == 3)
    #expect(lines.first == "epoch 1/3 step 1/4: loss 2.0000, accuracy 0.5000, 50.0 images/s")
    #expect(lines.dropFirst().first?.hasPrefix("epoch 1/3 step 3/4: loss 1.3333") == true)
    #expect(lines.last == RunText.line(try Samples.epoch(0)))
    #expect(!lines.joined().contains("\u{1B}") && !lines.joined().contains("\r"))
  }

  @Test func theEndIsTheSummary() throws {
    let (progress, screen) = try progress(width: 80)
    progress.receive(.finished(try Samples.summary()))
    #expect(screen.take() == RunText.lines(try Samples.summary()).map { $0 + "\n" }.joined())
  }
}
