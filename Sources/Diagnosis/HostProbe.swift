import Foundation
import Tensors

/// Asks the hosts of a hostfile, several at a time.
package enum HostProbe {
  /// ssh must not ask anybody anything: mpirun has no terminal for it either.
  package static let ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]

  private static let patience = 15.0
  private static let together = 16

  /// - Parameters:
  ///   - agent: what is called with a host and a command, as ssh is.
  ///   - program: this program's path, which must be the same there.
  package static func ask(
    _ entries: [Hostfile.Entry], program: String, agent: [String] = ssh
  ) -> [HostFacts] {
    let results = Monitor((next: 0, facts: [HostFacts?](repeating: nil, count: entries.count)))
    ThreadTeam(count: max(1, min(together, entries.count))).run { _ in
      while true {
        let number = results.update { results in
          defer { results.next += 1 }
          return results.next
        }
        guard number < entries.count else { return }
        let answer = ask(entries[number], program: program, agent: agent)
        results.update { $0.facts[number] = answer }
      }
    }
    return results.update { $0.facts }.compactMap(\.self)
  }

  private static func ask(_ entry: Hostfile.Entry, program: String, agent: [String]) -> HostFacts {
    let quoted = "'" + program.replacingOccurrences(of: "'", with: "'\\''") + "'"
    let question = "nproc; \(quoted) --version"
    guard let child = ChildProcess.run(agent + [entry.host, question], patience: patience) else {
      return HostFacts(
        host: entry.host, slots: entry.slots, problem: "\(agent[0]) can't be started", seconds: 0)
    }
    let lines = child.output.split(whereSeparator: \.isNewline).map { String($0) }
    var facts = HostFacts(host: entry.host, slots: entry.slots, seconds: child.seconds)
    facts.cores = lines.lazy.compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }.first
    if facts.cores == nil {
      facts.problem = child.timedOut ? "no answer in \(Int(patience)) s" : child.complaint
    } else if child.status == 0 {
      facts.version = lines.last
    }
    return facts
  }
}
