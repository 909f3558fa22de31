import Foundation
import Reports
import Tensors
import Testing
import Training

@testable import CLI

@Suite struct ScaleTests {
  @Test func theWordRunMayBeLeftOut() throws {
    #expect(try CNNDist.parseAsRoot(["scale", "--ranks", "1,2"]) is ScaleRunCommand)
    #expect(try CNNDist.parseAsRoot(["scale", "forecast"]) is ForecastCommand)
  }

  @Test(arguments: [
    ["--ranks", "0"], ["--ranks", "1,,2"], ["--rounds", "0"], ["--seconds", "0"], ["--scaling", "sideways"],
    ["--batch", "1", "--ranks", "4"], ["--slurm"], ["--sbatch", "--time=1"], ["--mpirun", " "],
    ["--core-price", "-1"], ["forecast", "--fan-in", "3"], ["forecast", "--gbits", "0"],
    ["forecast", "--nodes", "-1"], ["forecast", "--speed", "0"],
  ])
  func whatMakesNoSenseIsRefused(_ arguments: [String]) {
    #expect(throws: (any Error).self) { try CNNDist.parseAsRoot(["scale"] + arguments) }
  }

  private func plan() -> ScalePlan {
    ScalePlan(
      model: "lenet5", size: 28, microbatch: 4, arguments: ["--model", "lenet5"],
      points: ScalePlan.points(ranks: [1, 2], lanes: [3], scalings: [.weak], imagesPerLane: 8, batch: 0),
      rounds: 2,
      cores: 2, cpu: "some CPU", version: "0", launcher: ["mpirun"], coreHourPrice: nil, independent: false)
  }

  @Test func aFolderHoldsOneExperiment() throws {
    try withScratchDirectory { directory in
      let folder = ScaleFolder(directory + "/scaling")
      try folder.begin(plan())
      #expect(throws: RunError.self) { try folder.begin(plan()) }
      let error = #expect(throws: RunError.self) { try folder.report() }
      #expect(error?.description.contains("weak-1x3-24, weak-2x3-48") == true)
      #expect(throws: FileError.self) { try ScaleFolder(directory).report() }
    }
  }

  /// Runs the scripts with an srun that does nothing but run its command once.
  @Test func batchScriptsLeaveWhatCollectReads() throws {
    try withScratchDirectory { directory in
      let folder = ScaleFolder(directory + "/scaling")
      let plan = plan()
      try folder.begin(plan)
      let program = directory + "/program"
      let record = try JSONOutput.text(Self.record(ranks: 2, lanes: 3, batch: 48))
      let reduce =
        #"{"ranks": 2, "nodes": 2, "sizes": [{"bytes": 4096, "tree_seconds": 0.001, "bytes_sent": [2, 2]}]}"#
      try """
      #!/bin/bash
      echo "$@" >> \(directory)/calls.txt
      [[ $1 == bench ]] || { shift 3; }
      [[ $2 == step ]] && cat <<'RECORD' || echo '\(reduce)'
      \(record)
      RECORD
      """.write(toFile: program, atomically: true, encoding: .utf8)
      try "#!/bin/bash\nshift 3\nexec \"$@\"\n".write(
        toFile: directory + "/srun", atomically: true, encoding: .utf8)
      for file in [program, directory + "/srun"] {
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
      }
      let scripts = SlurmScripts(plan: plan, options: "--partition=cpu --time=10")
      for point in plan.points {
        let script = scripts.script(point, program: program, folder: folder.folder)
        #expect(
          script.contains("#SBATCH --ntasks=\(point.ranks)\n") && script.contains("#SBATCH --time=10\n"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", script]
        process.environment = ["PATH": directory + ":/usr/bin:/bin"]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
      }
      let calls = try String(contentsOfFile: directory + "/calls.txt", encoding: .utf8).split(separator: "\n")
      #expect(calls.count == 6 && calls.contains("bench reduce --seconds 0.5 --json --bytes 4096"))
      let report = try folder.report()
      #expect(report.rows.count == 2 && report.rows[1].busBandwidth?.median == 4096 / 0.001)
    }
  }

  private static func record(ranks: Int, lanes: Int, batch: Int) -> StepRecord {
    StepRecord(
      model: "lenet5", size: 28, channels: 1, classes: 8, batch: batch, microbatch: 4, ranks: ranks,
      lanes: lanes,
      isa: "avx2", convolution: "auto", precision: "fp32", blas: "Haswell", steps: 5, stepSeconds: 0.1,
      imagesPerSecond: 480, meanImagesPerSecond: 470, allStepSeconds: [0.1],
      cost: StepCost(
        division: TimeDivision.mean([]), nodes: 1, groups: 1, gradientBytes: 4096, bytesSent: 0))
  }
}
