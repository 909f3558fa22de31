import Foundation

extension CheckGroup {
  /// The wall clocks of the nodes, on one moment.
  static let clocks = CheckGroup(
    name: "clock",
    checks: [
      Check("skew") { facts in
        guard facts.nodeCount > 1 || facts.ranks.contains(where: { abs($0.clockSkew) > tolerated }) else {
          return []
        }
        let ranks = facts.ranks.indices
        let worst = ranks.max { abs(facts.ranks[$0].clockSkew) < abs(facts.ranks[$1].clockSkew) } ?? 0
        let skew = facts.ranks[worst].clockSkew
        guard abs(skew) > tolerated else {
          return [.ok(String(format: "at most %.3f s between the nodes", abs(skew)))]
        }
        let found = String(
          format: "rank \(worst) on \(facts.host(worst)) is %.1f s %@ rank 0", abs(skew),
          skew > 0 ? "ahead of" : "behind")
        let fix = "start chrony or ntpd on \(facts.host(worst))"
        return [
          abs(skew) > refused
            ? .failure(found, fix: "\(fix): munge and Kerberos refuse such a node")
            : .warning(found, fix: "\(fix): times in logs and of files contradict each other")
        ]
      }
    ])

  private static let tolerated = 1.0
  /// munge's and Kerberos' credentials live for 300 s.
  private static let refused = 200.0
}
