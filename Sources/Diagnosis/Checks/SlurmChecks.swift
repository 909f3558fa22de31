extension CheckGroup {
  /// What Slurm says of the job, beside what is there.
  static let slurm = CheckGroup(
    name: "slurm",
    checks: [
      Check("job") { facts in
        let environment = facts.ranks[0].environment
        guard let job = environment["SLURM_JOB_ID"] else { return [] }
        let nodes = environment["SLURM_JOB_NUM_NODES"].flatMap { Int($0) }
        if let nodes, facts.isLaunched, facts.nodeCount < nodes {
          return [
            .warning(
              "job \(job) has \(nodes) nodes, ranks run on \(facts.nodeCount)",
              fix: "srun without -N or -w takes all nodes of the job")
          ]
        }
        return [.ok("job \(job)" + (nodes.map { ", \(CheckGroup.count($0, "node"))" } ?? ""))]
      },
      Check("tasks") { facts in
        let environment = facts.ranks[0].environment
        guard let tasks = number("SLURM_NTASKS", environment) else { return [] }
        if facts.launchProblem != nil { return [] }
        let step = number("SLURM_STEP_NUM_TASKS", environment)
        let expected = environment["OMPI_COMM_WORLD_SIZE"] == nil ? step ?? tasks : tasks
        guard facts.isLaunched else {
          return tasks > 1
            ? [
              .warning(
                "the job has \(tasks) tasks, this is one process outside of them",
                fix: "srun --mpi=pmix cnn-dist doctor looks at all of them")
            ] : [.ok("one task")]
        }
        return facts.ranks.count == expected
          ? [.ok("\(expected) tasks, \(facts.ranks.count) ranks")]
          : [
            .failure(
              "SLURM_NTASKS is \(expected), but MPI has \(CheckGroup.count(facts.ranks.count, "rank"))",
              fix: "let --ntasks say how many (mpirun without -np, srun without -n)")
          ]
      },
      Check("cores") { facts in
        let environment = facts.ranks[0].environment
        guard let wanted = number("SLURM_CPUS_PER_TASK", environment) else { return [] }
        let rows = facts.placement.rows
        let few = rows.filter { $0.cores.count < wanted && facts.reports[$0.rank].cpus.count < wanted }
        var outcomes: [Outcome] = []
        if facts.isLaunched, let first = few.first {
          let forgot = environment["SRUN_CPUS_PER_TASK"] == nil && environment["OMPI_COMM_WORLD_SIZE"] == nil
          outcomes.append(
            .warning(
              "SLURM_CPUS_PER_TASK is \(wanted), but \(facts.name(of: few.map(\.rank))) "
                + "may use \(CheckGroup.count(first.cores.count, "core"))",
              fix: forgot
                ? "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK: srun has forgotten it since Slurm 22.05"
                : "mpirun --map-by slot:PE=\(wanted), or srun --cpu-bind=cores"))
        }
        let lanes = rows.map(\.lanes).max() ?? 1
        if lanes > wanted {
          outcomes.append(
            .warning(
              "SLURM_CPUS_PER_TASK is \(wanted), but a rank runs \(lanes) lanes",
              fix: "training.lanes: 0, or --cpus-per-task=\(lanes)"))
        }
        return outcomes.isEmpty ? [.ok("\(CheckGroup.count(wanted, "core")) a task")] : outcomes
      },
    ])

  private static func number(_ name: String, _ environment: [String: String]) -> Int? {
    environment[name].flatMap { Int($0) }
  }
}
