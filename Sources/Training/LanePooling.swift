import Collectives
import Layers
import Models

/// How the batch norms of one lane learn what all microbatches of the step know: they meet (`TreeMeeting`),
/// and the lane works for the reducer while it waits.
final class LanePooling: BatchPooling {
  private let meeting: TreeMeeting
  private let reducer: GradientReducer
  private let lane: Int
  private let track: Track

  init(_ meeting: TreeMeeting, reducer: GradientReducer, lane: Int, track: Track) {
    (self.meeting, self.reducer, self.lane, self.track) = (meeting, reducer, lane, track)
  }

  /// Whether the lane is wanted where it has no microbatch.
  var attendsIdle: Bool { TreeMeeting.attends(lane: lane, with: 0) }

  func pool(_ records: PooledRecords, channels: Int, by rule: PoolingRule) {
    // After a failure nobody waits any more, and the step throws when its lanes are done.
    guard !reducer.hasFailed else { return }
    do {
      try track.measure(.reduce) {
        try meeting.meet(
          lane: lane, records: records, count: PoolingRule.recordCount(channels: channels),
          wait: { reducer.wait(lane: lane, until: $0) }
        ) { rule.merge($0, into: $1, channels: channels) }
      }
    } catch {
      reducer.fail(error)
    }
  }
}

extension Network {
  /// Room for what all microbatches of a step know of a layer; nil where no layer asks.
  func meeting(_ communicator: Communicator, microbatches: Int) -> TreeMeeting? {
    guard poolsStatistics else { return nil }
    let channels = nodes.filter { $0.layer is BatchNorm2d }.map { 16 * $0.inputShapes[0].blocks }.max() ?? 0
    return TreeMeeting(
      communicator, recordCount: PoolingRule.recordCount(channels: channels), microbatches: microbatches)
  }
}
