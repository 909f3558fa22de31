import Foundation

extension CheckGroup {
  /// How ranks are started, and what that needs of the system.
  static let launch = CheckGroup(
    name: "launch",
    checks: [
      Check("MPI") { facts in
        if let problem = facts.launchProblem {
          return [.failure(problem, fix: "srun --mpi=pmix, or mpirun inside the allocation")]
        }
        if facts.isLaunched {
          let level = facts.ranks[0].threadLevel ?? "unknown"
          return [.ok("\(CheckGroup.count(facts.ranks.count, "rank")) started, threads: \(level)")]
        }
        guard let trial = facts.trial else { return [.ok("one process, without MPI")] }
        guard let problem = trial.problem else {
          let found = String(format: "mpirun -np 2 starts and ends in %.1f s", trial.seconds)
          return trial.seconds < 5
            ? [.ok(found)]
            : [.warning(found, fix: "time is spent before the program begins: see `names` and `temporary`")]
        }
        return [.failure("mpirun -np 2 fails: \(problem)", fix: Self.advice(problem))]
      },
      Check("sharing") { facts in
        guard facts.trial?.sharesMemory == false else { return [] }
        return [
          .warning(
            "two ranks of this machine can't map each other's memory: they exchange by messages",
            fix: "the same user for all ranks, and no seccomp filter on pidfd_getfd or /proc/PID/fd")
        ]
      },
      Check("names") { facts in
        let unknown = facts.ranks.indices.filter { facts.ranks[$0].lookupSeconds == nil }
        let slow = facts.ranks.indices.filter { facts.ranks[$0].lookupSeconds ?? 0 > 1 }
        let hosts = { (ranks: [Int]) in Set(ranks.map { facts.host($0) }).sorted() }
        var outcomes: [Outcome] = hosts(unknown).map {
          .warning("\($0) can't look up its own name", fix: "add `127.0.1.1 \($0)` to /etc/hosts there")
        }
        for host in hosts(slow) {
          let seconds = slow.filter { facts.host($0) == host }.compactMap { facts.ranks[$0].lookupSeconds }
          outcomes.append(
            .warning(
              String(format: "\(host) takes %.1f s to look up its own name", seconds.max() ?? 0),
              fix: "add `127.0.1.1 \(host)` to /etc/hosts there: each MPI daemon asks at its start"))
        }
        return outcomes.isEmpty ? [.ok("hosts know their own names")] : outcomes
      },
      Check("temporary") { facts in
        let bad = facts.groups { facts.ranks[$0].temporaryProblem }.filter { $0.key != nil }
        guard bad.isEmpty else {
          return bad.map { group in
            .failure(
              "\(facts.name(of: group.ranks)): \(group.key ?? "")",
              fix: "export TMPDIR=/tmp, or another folder of the node's own: MPI keeps its sockets there")
          }
        }
        // A socket's whole path has 107 characters, and MPI's part of it about 60.
        let long = facts.ranks.indices.filter { facts.ranks[$0].temporaryFolder.utf8.count > 45 }
        guard let first = long.first else { return [.ok(facts.ranks[0].temporaryFolder)] }
        return [
          .failure(
            "TMPDIR=\(facts.ranks[first].temporaryFolder) is too long for the sockets that MPI makes below it",
            fix: "export TMPDIR=/tmp")
        ]
      },
    ])

  private static func advice(_ problem: String) -> String {
    if problem.contains("as root") {
      return "run as a user, or export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    }
    if problem.contains("slots") { return "mpirun --oversubscribe, or a hostfile with more slots" }
    if problem.contains("No such file") { return "install openmpi-bin, or load your site's MPI module" }
    return "mpirun -np 2 hostname must work first; it says more"
  }
}
