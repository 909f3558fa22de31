import Reports
import Testing
import Training

@Suite struct FiguresTests {
  @Test func numbersAreGrouped() {
    let texts = [0, 7, 999, 1000, 1_234_567, -1000, -999].map(Figures.grouped)
    #expect(texts == ["0", "7", "999", "1,000", "1,234,567", "-1,000", "-999"])
  }

  @Test func timesReadLikeClocks() {
    let texts = [0, 7.4, 59.6, 725, 10_921, .infinity, .nan, -1].map(Figures.clock)
    #expect(texts == ["0:00", "0:07", "1:00", "12:05", "3:02:01", "–:––", "–:––", "–:––"])
  }

  @Test func largeNumbersHaveThreeDigits() {
    let texts = [0, 999, 1000, 20_140_000, 99_960_000, 1_815_000_000, 12_300_000_000_000].map(Figures.short)
    #expect(texts == ["0", "999", "1.00 k", "20.1 M", "100 M", "1.81 G", "12300 G"])
  }

  @Test func speedsDropDigitsThatSayNothing() {
    #expect([3.14159, 99.94, 99.96, 381.4].map(Figures.speed) == ["3.1", "99.9", "100", "381"])
  }

  @Test func coresAreRanges() {
    #expect(Figures.ranges([]) == "")
    #expect(Figures.ranges([3, 1, 2, 8, 10, 11]) == "1–3, 8, 10–11")
  }
}

@Suite struct ProgressLineTests {
  private let line = ProgressLine(
    label: "epoch 1/3", done: 3, total: 12, details: ["loss 0.5000", "accuracy 0.7500", "9 images/s"],
    unicode: false)

  @Test func theBarIsFilledByItsShare() {
    #expect(ProgressLine.bar(done: 0, total: 4, width: 8, unicode: false) == "........")
    #expect(ProgressLine.bar(done: 1, total: 4, width: 8, unicode: false) == "##......")
    #expect(ProgressLine.bar(done: 3, total: 4, width: 8, unicode: true) == "━━━━━━──")
    #expect(ProgressLine.bar(done: 9, total: 4, width: 3, unicode: false) == "###")
    #expect(ProgressLine.bar(done: 0, total: 0, width: 2, unicode: false) == "..")
  }

  @Test func wideScreensShowEverything() {
    #expect(
      line.text(width: 200)
        == "epoch 1/3  ######..................  3/12  loss 0.5000  accuracy 0.7500  9 images/s")
  }

  /// Whatever the width, the line fits, and what matters most stays longest.
  @Test(arguments: 0...100) func theLineAlwaysFits(width: Int) {
    let text = line.text(width: width)
    #expect(text.count <= width)
    let shown = line.details.map { text.contains($0) }
    #expect(shown == shown.sorted { $0 && !$1 }, "\(text)")
    if width >= 15 { #expect(text.hasPrefix("epoch 1/3  ") && text.contains("3/12")) }
  }
}

@Suite struct RunTextTests {
  @Test func theStartIsATableOfRanks() throws {
    let lines = RunText.lines(try Samples.run())
    #expect(
      lines == [
        "seed_cnn: 2,193,862 parameters, 20.1 M multiply-adds an image, 2 classes",
        "images: 200 to train, 40 to validate, 1,040 to test",
        "3 epochs of 4 steps; batch 64 in microbatches of 16",
        "rank   host  cores  lanes  pinned  kernels  OpenBLAS",
        "0        n1    0–2      3     yes     avx2   Haswell",
        "1     node2      4      1      no     avx2   Haswell",
        "memory in MB      rank 0  rank 1",
        "weights              8.0     8.0",
        "optimizer            4.0     4.0",
        "prepared weights     0.1     0.0",
        "activations         30.0    10.0",
        "gradients            8.0     8.0",
        "tree                 1.0     0.0",
        "exchange             0.5     0.5",
        "together            51.6    30.5",
        "run directory runs/a",
      ])
    #expect(RunText.lines(try Samples.run(firstStep: 6)).last == "going on from step 6")
  }

  @Test func anEpochIsALine() throws {
    #expect(
      RunText.line(try Samples.epoch(1))
        == "epoch 2/3: loss 0.7500, accuracy 0.6250; validation loss \(loss), accuracy 0.7500 (best); 346 images/s, 1:01"
    )
    #expect(
      RunText.line(try Samples.epoch(1, validated: false))
        == "epoch 2/3: loss 0.7500, accuracy 0.6250; 346 images/s, 1:01")
  }

  /// −(ln 0.9 + ln 0.2 + ln 0.7 + ln 0.6) / 4.
  private let loss = "0.6456"

  @Test func theEndTellsAllThatCounts() throws {
    var summary = try Samples.summary()
    let lines = RunText.lines(summary)
    #expect(lines.first == "trained 3 epochs, 12 steps in 1:15, 8.0 images/s")
    #expect(lines.contains("best epoch on the validation split: 2"))
    #expect(lines.contains { $0.hasPrefix("test: accuracy 0.7500, balanced accuracy 0.7500") })
    #expect(lines.contains("cat                 1    1"))
    #expect(lines.contains("dog                 0    2"))
    #expect(lines.contains { $0.hasPrefix("cat ") && $0.contains("1.0000") && $0.contains("0.5000") })
    #expect(lines.suffix(2) == ["weights hash 0123456789abcdef", "saved in runs/a"])
    summary.endedEarly = "no improvement in 5 epochs"
    #expect(RunText.lines(summary).first == "ended early: no improvement in 5 epochs")
  }

  @Test func manyClassesShowTheirConfusions() throws {
    let names = (0..<40).map { "class-\($0)" }
    var probabilities: [Float] = []
    let labels = [7, 7, 7, 9, 11]
    for taken in [8, 8, 7, 2, 11] { probabilities += (0..<40).map { $0 == taken ? 1 : 0 } }
    var summary = try Samples.summary()
    summary.test = try ClassificationReport(probabilities: probabilities, labels: labels, classes: names)
    let lines = RunText.lines(summary)
    let header = try #require(lines.firstIndex { $0.hasPrefix("true ") })
    let rows = lines[(header + 1)...].prefix(3).map { $0.split(separator: " ").joined(separator: " ") }
    #expect(rows == ["class-7 class-8 2", "class-9 class-2 1", ""])
    #expect(lines.allSatisfy { $0.count <= 160 })
  }
}
