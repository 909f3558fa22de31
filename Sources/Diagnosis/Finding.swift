import Foundation

/// What a check says about a machine or a job: one line of the doctor's.
package struct Finding: Codable, Sendable, Equatable {
  package enum Verdict: String, Codable, Sendable, CaseIterable {
    case ok
    /// It works, but slower or less safely than it could.
    case warning
    /// A job would not start, would end, or would compute something else.
    case failure
  }

  package let group: String
  package let check: String
  package let verdict: Verdict
  package let found: String
  /// What to do about it; nil where nothing is wrong.
  package let fix: String?
}

/// What a check found, before it has a name.
package struct Outcome: Sendable, Equatable {
  package let verdict: Finding.Verdict
  package let found: String
  package let fix: String?

  static func ok(_ found: String) -> Outcome { Outcome(verdict: .ok, found: found, fix: nil) }
  static func warning(_ found: String, fix: String) -> Outcome {
    Outcome(verdict: .warning, found: found, fix: fix)
  }
  static func failure(_ found: String, fix: String) -> Outcome {
    Outcome(verdict: .failure, found: found, fix: fix)
  }
}

/// A question to the facts of a job: a function without effects, so that a test can plant any facts. None,
/// where the question doesn't arise.
package struct Check: Sendable {
  let name: String
  let examine: @Sendable (JobFacts) -> [Outcome]

  init(_ name: String, _ examine: @escaping @Sendable (JobFacts) -> [Outcome]) {
    (self.name, self.examine) = (name, examine)
  }
}

/// Checks of one kind; each group has a file.
package struct CheckGroup: Sendable {
  package let name: String
  let checks: [Check]

  package func findings(_ facts: JobFacts) -> [Finding] {
    checks.flatMap { check in
      check.examine(facts).map {
        Finding(group: name, check: check.name, verdict: $0.verdict, found: $0.found, fix: $0.fix)
      }
    }
  }

  /// In the order in which a job meets what they look at.
  package static let all: [CheckGroup] = [
    .program, .launch, .hosts, .slurm, .processor, .cores, .memory, .storage, .clocks,
  ]
}

/// Everything that the doctor says.
package struct Diagnosed: Codable, Sendable {
  package let findings: [Finding]
  package let ok: Int
  package let warnings: Int
  package let failures: Int

  package init(_ facts: JobFacts) {
    let found = CheckGroup.all.flatMap { $0.findings(facts) }
    func count(_ verdict: Finding.Verdict) -> Int { found.count { $0.verdict == verdict } }
    findings = found
    (ok, warnings, failures) = (count(.ok), count(.warning), count(.failure))
  }

  /// A line for each finding, one more for its fix, and the sum.
  package var text: String {
    let width = findings.map { "\($0.group) \($0.check)".count }.max() ?? 0
    let lines = findings.flatMap { finding -> [String] in
      let name = "\(finding.group) \(finding.check)"
      let verdict = finding.verdict.rawValue.padding(toLength: 7, withPad: " ", startingAt: 0)
      let line = "\(verdict)  \(name.padding(toLength: width, withPad: " ", startingAt: 0))  \(finding.found)"
      let fix = finding.fix.map { String(repeating: " ", count: width + 11) + "fix: \($0)" }
      return [line] + (fix.map { [$0] } ?? [])
    }
    func counted(_ count: Int, _ word: String) -> String { "\(count) \(word)\(count == 1 ? "" : "s")" }
    return (lines + ["\(ok) ok, \(counted(warnings, "warning")), \(counted(failures, "failure"))"])
      .joined(separator: "\n")
  }
}
