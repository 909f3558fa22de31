/// How this process was started, as its environment tells.
package enum Launch: Equatable, Sendable {
  /// Alone: MPI is not initialised at all.
  case alone
  /// By a launcher that MPI understands, together with others; the launcher may say how many.
  case together(processes: Int?)

  /// Throws where several tasks of `srun` would each train alone.
  package static func detect(environment: [String: String]) throws(LaunchError) -> Launch {
    func number(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
    // Under mpirun inside a Slurm job the step's tasks are OpenMPI's daemons, so OpenMPI's word counts first.
    if environment["OMPI_COMM_WORLD_SIZE"] != nil {
      return .together(processes: number("OMPI_COMM_WORLD_SIZE"))
    }
    let tasks = number("SLURM_STEP_NUM_TASKS")
    if environment["PMIX_RANK"] != nil, environment["PMIX_NAMESPACE"] != nil {
      return .together(processes: tasks)
    }
    if environment["PMI_RANK"] != nil, let processes = number("PMI_SIZE") {
      return .together(processes: processes)
    }
    if let tasks, tasks > 1 { throw LaunchError(processes: tasks, found: nil) }
    return .alone
  }
}

/// Several processes were started that can't find each other.
package struct LaunchError: Error, Equatable, CustomStringConvertible {
  /// How many the launcher says it started.
  package let processes: Int
  /// How many MPI sees; nil where it has no way to see any.
  package let found: Int?

  package var description: String {
    let seen = found.map { "MPI sees \($0) of them" } ?? "without PMIx they can't find each other"
    return "\(processes) processes were started together, but \(seen), so each would train alone: "
      + "use `srun --mpi=pmix` (`srun --mpi=list` shows what this Slurm offers) or `mpirun`"
  }
}
