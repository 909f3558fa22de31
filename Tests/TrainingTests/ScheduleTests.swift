import Foundation
import Testing
import Training

@Suite struct ScheduleTests {
  private static func goldenRates() throws -> [String: [Double]] {
    try JSONDecoder().decode(
      [String: [Double]].self, from: Data(contentsOf: URL(fileURLWithPath: golden("schedules.json"))))
  }

  private static func config(_ name: ScheduleConfig.Name, _ change: (inout ScheduleConfig) -> Void = { _ in })
    -> ScheduleConfig
  {
    var config = RunConfig().schedule
    (config.name, config.warmupEpochs) = (name, 0)
    change(&config)
    return config
  }

  private static func rates(_ config: ScheduleConfig) -> [Double] {
    let schedule = Schedule(config, learningRate: 0.1, stepsPerEpoch: 4, epochs: 10)
    return (0..<schedule.totalSteps).map { schedule.learningRate(at: $0) }
  }

  private static let cases: [(String, ScheduleConfig)] = [
    ("step", config(.step) { ($0.stepEpochs, $0.gamma) = (3, 0.5) }),
    ("multi_step", config(.multiStep) { ($0.milestones, $0.gamma) = ([2, 3, 7], 0.3) }),
    ("cosine", config(.cosine) { $0.minimum = 0.01 }),
    ("polynomial", config(.polynomial) { $0.power = 2 }),
    ("one_cycle", config(.oneCycle)),
    (
      "one_cycle_other",
      config(.oneCycle) {
        ($0.oneCycle.riseShare, $0.oneCycle.startDivisor, $0.oneCycle.finalDivisor) = (0.1, 10, 100)
      }
    ),
    ("cosine_peers", config(.cosine) { $0.warmupEpochs = 1 }),
  ]

  @Test(arguments: cases) func everyStepFollowsPyTorch(name: String, config: ScheduleConfig) throws {
    let expected = try #require(try Self.goldenRates()[name])
    let rates = Self.rates(config)
    #expect(rates.count == expected.count)
    for (step, (rate, expected)) in zip(rates, expected).enumerated() {
      #expect(abs(rate - expected) < 1e-14, "step \(step)")
    }
  }

  @Test(arguments: [("plateau", MonitoredMetric.loss, 2, 0.02), ("plateau_up", .accuracy, 3, 0)])
  func plateauFollowsPyTorch(name: String, metric: MonitoredMetric, patience: Int, minimum: Double) throws {
    let golden = try Self.goldenRates()
    let config = Self.config(.plateau) {
      ($0.plateau.patience, $0.plateau.factor, $0.plateau.threshold, $0.minimum) = (
        patience, 0.5, 1e-3, minimum
      )
    }
    let schedule = Schedule(config, learningRate: 0.1, stepsPerEpoch: 4, epochs: 40)
    var state = PlateauState()
    let values = try #require(golden["\(name)_values"])
    let expected = try #require(golden[name])
    for (value, rate) in zip(values, expected) {
      state = state.after(value, metric: metric, config: config.plateau)
      // What a run that resumes has read from its checkpoint.
      state = try JSONDecoder().decode(PlateauState.self, from: JSONEncoder().encode(state))
      #expect(abs(schedule.learningRate(at: 9, plateau: state) - rate) < 1e-15)
    }
  }

  @Test func warmUpRisesLinearlyToEverySchedule() {
    for name in ScheduleConfig.Name.allCases {
      let plain = Self.config(name)
      let warmed = Self.config(name) { $0.warmupEpochs = 1.5 }
      let schedule = Schedule(warmed, learningRate: 0.1, stepsPerEpoch: 4, epochs: 10)
      let start = Schedule(plain, learningRate: 0.1, stepsPerEpoch: 4, epochs: 10).learningRate(at: 0)
      #expect(schedule.warmupSteps == 6)
      for step in 0..<6 {
        #expect(
          abs(schedule.learningRate(at: step) - start * Double(step + 1) / 6) < 1e-15, "\(name), step \(step)"
        )
      }
      #expect(abs(schedule.learningRate(at: 6) - start) < 1e-15, "\(name)")
    }
  }

  @Test func ratesStayFiniteInTheShortestRuns() {
    for name in ScheduleConfig.Name.allCases {
      for epochs in 1...3 {
        for warmup in [0.0, 0.5, 1] {
          let config = Self.config(name) { $0.warmupEpochs = warmup }
          let schedule = Schedule(config, learningRate: 0.1, stepsPerEpoch: 1, epochs: epochs)
          for step in 0...epochs {
            let rate = schedule.learningRate(at: step)
            #expect(rate >= 0 && rate <= 0.1, "\(name), \(epochs) epochs, warm-up \(warmup), step \(step)")
          }
        }
      }
    }
  }
}
