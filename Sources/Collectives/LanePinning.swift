import Tensors

/// Keeps each lane of a rank on a core of its own while the rank trains, where its placement allows that.
///
/// A thread inherits the binding of the thread that starts it, and lane 0 is the thread that starts all
/// others: what is to run beside the lanes is started by `startingOthers`.
package struct LanePinning: Sendable {
  private let placement: Placement
  /// What the calling thread could run on before it was bound.
  private let before: [Int]

  package init(_ placement: Placement) {
    self.placement = placement
    before = CPUAffinity.current
  }

  package var isOn: Bool { placement.cpu(ofLane: 0) != nil }

  /// Binds every lane of `team`, the calling thread being lane 0.
  package func bind(_ team: ThreadTeam) {
    guard isOn else { return }
    team.run { [placement] lane in
      if let cpu = placement.cpu(ofLane: lane) { CPUAffinity.bindCallingThread(to: [cpu]) }
    }
  }

  /// Runs `body` on lane 0 with the whole share of the rank to inherit.
  package func startingOthers<Result>(_ body: () throws -> Result) rethrows -> Result {
    guard isOn, let own = placement.cpu(ofLane: 0) else { return try body() }
    CPUAffinity.bindCallingThread(to: placement.cpus)
    defer { CPUAffinity.bindCallingThread(to: [own]) }
    return try body()
  }

  /// Frees the calling thread, lane 0; the other lanes end with their team.
  package func release() {
    if isOn { CPUAffinity.bindCallingThread(to: before) }
  }
}
