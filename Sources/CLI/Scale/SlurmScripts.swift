import Foundation
import Reports
import Tensors
import Training

/// A scaling experiment as batch scripts: one for each point, which takes all its rounds.
struct SlurmScripts {
  let plan: ScalePlan
  /// Of sbatch, for all scripts.
  let options: String

  /// Writes them; what to do with them.
  func write(to folder: ScaleFolder) throws -> String {
    try folder.begin(plan)
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let absolute = URL(fileURLWithPath: folder.folder).standardizedFileURL.path
    for point in plan.points {
      try DurableFile.replace(
        folder.path("\(point.name).sbatch"),
        with: Array(script(point, program: program, folder: absolute).utf8))
    }
    return """
      \(plan.points.count) batch scripts in \(folder.folder):
        for script in \(folder.folder)/*.sbatch; do sbatch "$script"; done
      and when they are done:
        cnn-dist scale --collect \(folder.folder)
      """
  }

  func script(_ point: ScalePlan.Point, program: String, folder: String) -> String {
    func quoted(_ words: [String]) -> String {
      words.map { "'" + $0.replacingOccurrences(of: "'", with: "'\\''") + "'" }.joined(separator: " ")
    }
    let launcher = plan.launcher == ["mpirun"] ? ["srun", "--mpi=pmix"] : plan.launcher
    let start = point.ranks == 1 ? "" : quoted(launcher + ["-n", "\(point.ranks)"]) + " "
    let step = quoted(
      [program, "bench", "step", "--batch", "\(point.batch)", "--lanes", "\(point.lanes)", "--json"]
        + plan.arguments)
    let extra = options.split(separator: " ").map { "#SBATCH \($0)\n" }.joined()
    var text = """
      #!/bin/bash
      #SBATCH --job-name=\(point.name)
      #SBATCH --ntasks=\(point.ranks)
      #SBATCH --cpus-per-task=\(point.lanes)
      #SBATCH --output=\(folder)/jobs/\(point.name).log
      \(extra)set -euo pipefail
      cd \(quoted([folder + "/jobs"]))
      # A result appears whole: a job that is cut off leaves none.
      for round in {0..\(plan.rounds - 1)}; do
        \(start)\(step) > "\(point.name)-$round-step.part"
        mv "\(point.name)-$round-step.part" "\(point.name)-$round-step.json"

      """
    if point.ranks > 1 {
      let reduce = quoted([program, "bench", "reduce", "--seconds", "0.5", "--json", "--bytes"])
      text += """
          bytes=$(sed -n 's/.*"gradient_bytes" *: *\\([0-9]*\\).*/\\1/p' "\(point.name)-$round-step.json")
          \(start)\(reduce) "$bytes" > "\(point.name)-$round-reduce.part"
          mv "\(point.name)-$round-reduce.part" "\(point.name)-$round-reduce.json"

        """
    }
    return text + "done\n"
  }
}
