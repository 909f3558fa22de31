import Collectives

extension CheckGroup {
  /// Who computes where: ranks, lanes, cores, quotas, and whether the batch has work for all.
  static let cores = CheckGroup(
    name: "cores",
    checks: [
      Check("share") { facts in
        let placement = facts.placement
        guard placement.warnings.isEmpty else {
          return placement.warnings.map { warning in
            .warning(warning, fix: "fewer ranks or lanes, or more cores for them: see the launcher's binding")
          }
        }
        let lanes = placement.lanes
        let shape = lanes.min() == lanes.max() ? "\(lanes[0])" : "\(lanes.min() ?? 0) to \(lanes.max() ?? 0)"
        return [
          .ok("\(count(lanes.count, "rank")) on \(count(facts.nodeCount, "node")), \(shape) lanes each")
        ]
      },
      Check("quota") { facts in
        facts.nodeLeaders.compactMap { rank in
          guard let quota = facts.reports[rank].quota else { return nil }
          let cores = facts.reports[rank].unboundCores.count
          let group = quota.group.isEmpty ? "/" : quota.group
          guard quota.cpus < Double(cores) else {
            return .ok("\(facts.host(rank)): control group \(group) allows \(quota.cpus) of \(cores) cores")
          }
          return .warning(
            "\(facts.host(rank)): control group \(group) allows the time of \(quota.cpus) cores, \(cores) are there",
            fix:
              "raise the container's CPU limit, or take whole cores (Kubernetes: equal requests and limits)")
        }
      },
      Check("binding") { facts in
        let rows = facts.placement.rows
        let loose = rows.filter { !$0.pinned }
        guard !loose.isEmpty else { return [.ok("each lane on a core of its own")] }
        return [
          .warning(
            "\(facts.name(of: loose.map(\.rank))): lanes stay on no core of their own",
            fix: "as many lanes as cores in every rank (training.lanes: 0), whole cores, no rank beside it")
        ]
      },
      Check("work") { facts in
        let training = facts.config.training
        let microbatches = (training.batch + training.microbatch - 1) / max(1, training.microbatch)
        let lanes = facts.placement.lanes.reduce(0, +)
        guard lanes > microbatches else {
          return [.ok("\(microbatches) microbatches a step for \(count(lanes, "lane"))")]
        }
        let fitting = max(1, training.batch / lanes)
        return [
          .warning(
            "\(lanes) lanes, but a batch of \(training.batch) has only \(microbatches) microbatches",
            fix: training.batch >= lanes
              ? "training.microbatch=\(fitting) gives all lanes work (and another batch norm)"
              : "fewer ranks, or training.batch=\(lanes * training.microbatch)")
        ]
      },
    ])

  static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}
