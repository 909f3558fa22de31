import Foundation
import Reports
import Testing
import Training

@Suite struct ScaleReportTests {
  private func plan(rounds: Int = 2) -> ScalePlan {
    ScalePlan(
      model: "seed_cnn", size: 64, microbatch: 16, arguments: ["--model", "seed_cnn"],
      points: ScalePlan.points(ranks: [4, 1, 2], lanes: [1], scalings: [.weak], imagesPerLane: 32, batch: 0),
      rounds: rounds, cores: 2, cpu: "some CPU", version: "0", launcher: ["mpirun"], coreHourPrice: 0.036,
      independent: true)
  }

  private func measured(_ speed: Double, _ point: ScalePlan.Point, independent: Double?) -> ScaleMeasurement {
    let step = StepRecord(
      model: "seed_cnn", size: 64, channels: 3, classes: 8, batch: point.batch, microbatch: 16,
      ranks: point.ranks, lanes: point.lanes, isa: "avx2", convolution: "auto", precision: "fp32",
      blas: "Haswell",
      steps: 5, stepSeconds: Double(point.batch) / speed, imagesPerSecond: speed, meanImagesPerSecond: speed,
      allStepSeconds: [],
      cost: StepCost(
        division: TimeDivision.mean([]), nodes: 1, groups: 1, gradientBytes: 4096, bytesSent: 10))
    return ScaleMeasurement(step: step, independent: independent, busBandwidth: point.ranks > 1 ? 2e9 : nil)
  }

  /// One lane does 100 and 50 images/s, two 180 and 100, four 160 and 80.
  private func report() -> ScaleReport {
    let plan = plan()
    let speeds = [1: [100.0, 50], 2: [180, 100], 4: [160, 80]]
    var all: [ScalePlan.Point: [ScaleMeasurement]] = [:]
    for point in plan.points {
      all[point] = (speeds[point.ranks] ?? []).map {
        measured($0, point, independent: point.ranks == 2 ? $0 / 0.9 : nil)
      }
    }
    return ScaleReport(plan, measured: all)
  }

  @Test func pointsStandInTheOrderOfWorkers() {
    let plan = plan()
    #expect(plan.points.map(\.ranks) == [1, 2, 4] && plan.points.map(\.batch) == [32, 64, 128])
    #expect(plan.order(ofRound: 1).map(\.ranks) == [4, 2, 1])
    let strong = ScalePlan.points(
      ranks: [1, 2], lanes: [1, 2], scalings: [.strong], imagesPerLane: 1, batch: 96)
    #expect(strong.map(\.workers) == [1, 2, 2, 4] && strong.allSatisfy { $0.batch == 96 })
  }

  @Test func efficiencyIsOfTheSameRound() {
    let rows = report().rows
    #expect(rows[0].efficiency == Spread([1, 1]))
    // 180 / 200 in one round, 100 / 100 in the other; the ratio of the medians would be 0.933.
    #expect(rows[1].efficiency == Spread([0.9, 1]) && abs(rows[1].efficiency.median - 0.95) < 1e-12)
    #expect(abs((rows[1].efficiencyOfIndependent?.median ?? 0) - 0.9) < 1e-12)
    #expect(rows[2].efficiencyOfIndependent == nil)
    #expect(rows.map(\.oversubscribed) == [false, false, true])
    // Two cores for 140 images a second.
    #expect(abs(rows[1].coreSecondsPerImage - 2.0 / 140) < 1e-12)
    #expect(abs((rows[1].pricePerMillionImages ?? 0) - 0.036 / 3600 * 2 / 140 * 1e6) < 1e-9)
    #expect(abs(rows[2].coreSecondsPerImage - 2.0 / 120) < 1e-12)
  }

  @Test func tableAndFileSayWhatWasFound() throws {
    let report = report()
    #expect(report.text.contains("4 × 1 *") && report.text.contains("95.0 % (90.0–100.0)"))
    let lines = report.csv.split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false)
    }
    #expect(lines.count == 4 && lines.allSatisfy { $0.count == lines[0].count })
    #expect(lines[2][7] == "140.0")
    let copy = try JSONDecoder().decode(ScaleReport.self, from: JSONEncoder().encode(report))
    #expect(copy == report)
  }

  @Test func anEarlierReportIsComparedPointByPoint() {
    let now = report()
    #expect(now.differences(from: now).isEmpty)
    #expect(now.comparison(with: now).contains("within the spread"))
    var plan = plan()
    plan.model = "lenet5"
    let earlier = ScaleReport(
      plan,
      measured: Dictionary(
        uniqueKeysWithValues: plan.points.map { ($0, [measured(10, $0, independent: nil)]) }))
    #expect(now.differences(from: earlier) == ["model seed_cnn, earlier lenet5"])
    #expect(
      now.comparison(with: earlier).contains("14.000") && now.comparison(with: earlier).contains("faster"))
  }

  @Test func aSpreadIsTheMiddleAndTheEnds() {
    #expect(Spread([3, 1, 2]).median == 2 && Spread([4, 1, 2, 3]).median == 2.5)
    #expect(Spread(known: []) == nil)
    #expect(Spread([1, 2]).overlaps(Spread([2, 3])) && !Spread([1, 2]).overlaps(Spread([2.1, 3])))
  }
}
