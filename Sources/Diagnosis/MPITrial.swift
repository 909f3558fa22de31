import Foundation

/// What comes of starting two ranks with `mpirun` on this machine: a process alone tries it.
package struct MPITrial: Sendable, Equatable {
  /// nil where it worked.
  package var problem: String?
  package var seconds: Double
  package var sharesMemory: Bool?

  package init(problem: String? = nil, seconds: Double, sharesMemory: Bool? = nil) {
    (self.problem, self.seconds, self.sharesMemory) = (problem, seconds, sharesMemory)
  }

  /// What a rank of the trial prints.
  package static func answer(sharesMemory: Bool) -> String { "shares memory: \(sharesMemory)" }

  private static let patience = 30.0

  /// - Parameter program: this program, whose `doctor --trial` answers.
  package static func run(program: String, cores: Int) -> MPITrial {
    let oversubscribe = cores < 2 ? ["--oversubscribe"] : []
    let words = ["mpirun", "-np", "2"] + oversubscribe + [program, "doctor", "--trial"]
    guard let child = ChildProcess.run(words, patience: patience) else {
      return MPITrial(problem: "mpirun can't be started", seconds: 0)
    }
    if child.timedOut {
      return MPITrial(problem: "no answer in \(Int(patience)) s", seconds: child.seconds)
    }
    for shares in [true, false] where child.output.contains(answer(sharesMemory: shares)) {
      return MPITrial(seconds: child.seconds, sharesMemory: shares)
    }
    return MPITrial(problem: reason(child), seconds: child.seconds)
  }

  /// mpirun frames what it says with dashes, and begins as root with a whole page.
  private static func reason(_ child: ChildProcess) -> String {
    child.errors.contains("as root") && child.errors.contains("mpirun")
      ? "mpirun refuses to start ranks as root" : child.complaint
  }
}
