import Foundation
import Training

extension CheckGroup {
  /// The hosts of a hostfile.
  static let hosts = CheckGroup(
    name: "hosts",
    checks: [
      Check("file") { facts in
        guard let file = facts.hostfile else { return [] }
        let slots = file.entries.compactMap(\.slots).reduce(0, +)
        return file.problems.isEmpty
          ? [.ok("\(file.path): \(CheckGroup.count(file.entries.count, "host")), \(slots) slots")]
          : file.problems.map { .failure($0, fix: "a host a line: `node1 slots=2`") }
      },
      Check("ssh") { facts in
        facts.hosts.map { host in
          if let problem = host.problem {
            return .failure("\(host.host): \(problem)", fix: advice(problem, host.host))
          }
          let found = String(format: "%@ answers in %.1f s", host.host, host.seconds)
          return host.seconds < 5
            ? .ok(found)
            : .warning(found, fix: "`UseDNS no` and `GSSAPIAuthentication no` in sshd_config on \(host.host)")
        }
      },
      Check("program") { facts in
        facts.hosts.filter { $0.problem == nil && $0.version != Version.current }.map { host in
          let version = host.version.map { "has version \($0), here it is \(Version.current)" }
          return .failure(
            "\(host.host) \(version ?? "lacks the program where it is here")",
            fix: "install it in a folder that all hosts see: scripts/install --prefix DIR")
        }
      },
      Check("slots") { facts in
        facts.hosts.compactMap { host in
          guard let slots = host.slots, let cores = host.cores, slots > cores else { return nil }
          return .warning(
            "\(host.host): slots=\(slots), but it has \(cores) cores",
            fix: "slots=\(cores) at most: a rank runs a lane on each core that is left to it")
        }
      },
    ])

  private static func advice(_ problem: String, _ host: String) -> String {
    if problem.contains("Permission denied") { return "ssh-copy-id \(host): mpirun can't type a password" }
    if problem.contains("Host key") { return "ssh-keyscan \(host) >> ~/.ssh/known_hosts" }
    if problem.contains("resolve") { return "correct the name, or add it to /etc/hosts" }
    return "`ssh -o BatchMode=yes \(host) true` must work, from the first host to each of the others"
  }
}
