import Foundation
import Testing
import Training

@Suite struct EarlyStoppingTests {
  private func config(patience: Int, delta: Double = 0) -> EarlyStoppingConfig {
    var config = RunConfig().earlyStopping
    (config.patience, config.minimumDelta) = (patience, delta)
    return config
  }

  /// The states after each evaluation, saved and read back in between.
  private func states(_ values: [Double], _ metric: MonitoredMetric, delta: Double = 0) throws -> [BestSoFar]
  {
    var state = BestSoFar()
    return try values.enumerated().map { epoch, value in
      state = state.after(value, metric: metric, epoch: epoch, step: 10 * (epoch + 1), minimumDelta: delta)
      state = try JSONDecoder().decode(BestSoFar.self, from: JSONEncoder().encode(state))
      return state
    }
  }

  @Test func theBestIsKept() throws {
    let up = try states([0.5, 0.7, 0.7, 0.6], .accuracy)
    #expect(up.map(\.value) == [0.5, 0.7, 0.7, 0.7])
    #expect(up.map(\.epoch) == [0, 1, 1, 1])
    #expect(up.map(\.step) == [10, 20, 20, 20])
    #expect(up.map(\.evaluationsSinceBest) == [0, 0, 1, 2])
    let down = try states([0.5, 0.7, 0.4], .loss)
    #expect(down.map(\.epoch) == [0, 0, 2])
  }

  @Test func patienceEnds() throws {
    let values = [0.5, 0.6, 0.55, 0.6, 0.59]
    #expect(
      try states(values, .accuracy).map { $0.stops(config(patience: 3)) } == [
        false, false, false, false, true,
      ])
    #expect(try states(values, .accuracy).allSatisfy { !$0.stops(config(patience: 0)) })
  }

  @Test func creepingIsBestButNotPatience() throws {
    let creeping = try states([0.5, 0.505, 0.51, 0.515], .balancedAccuracy, delta: 0.012)
    #expect(creeping.map(\.epoch) == [0, 1, 2, 3])
    #expect(creeping.map(\.evaluationsSinceBest) == [0, 1, 2, 0])
  }

  @Test func notANumberImprovesNothing() throws {
    let states = try states([.nan, 0.5, .nan], .loss)
    #expect(states.map(\.value) == [nil, 0.5, 0.5])
    #expect(states.map(\.evaluationsSinceBest) == [1, 0, 1])
  }
}
