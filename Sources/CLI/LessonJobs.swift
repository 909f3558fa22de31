import Foundation
import Reports
import Tensors
import Training

/// The jobs that the lesson `allreduce` looks at: this program on some ranks of this machine, as `verify` starts it.
enum LessonJobs {
  /// Nine microbatches, which fall to three and four ranks otherwise than the tree groups them.
  private static let small = [
    "data.image.size=32", "data.synthetic.images=160", "training.batch=63", "training.microbatch=7",
  ]

  /// nil where there is nothing to start ranks with.
  static func steps(of run: String?, data: String?) -> StepJobs? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    guard folders.contains(where: { FileManager.default.isExecutableFile(atPath: "\($0)/mpirun") }) else {
      return nil
    }
    let settings =
      (run.map { ["--config", RunDirectory.configPath(of: $0)] }
        ?? small.flatMap { ["--set", $0] }) + (data.map { ["--data", $0] } ?? [])
    return StepJobs(of: run.map { "the first step of \($0)" } ?? "a step of the seed CNN on synthetic cells")
    {
      ranks, isTree in
      let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-explain-\(UUID())")
        .path
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let job = VerifyJob(
        launcher: ranks == 1 ? [] : ["mpirun"], ranks: ranks, instructionSet: nil,
        arguments: [
          "--steps", "1", "--reduction", isTree ? "tree" : "all-reduce", "--set", "training.lanes=1",
        ]
          + settings, writesNumbers: true)
      let hashes = try job.run(in: folder)
      let reader = try Safetensors.Reader(path: Verification.path(ofStep: 0, in: folder))
      let gradients = try hashes.arrays.filter { $0.quantity == .gradients }.compactMap { array in
        reader.entries.first { $0.name == "gradients.\(array.name)" }.map { ($0.name, array.name) }
      }.map { stored, name in
        StepJobs.Gradient(name: name, values: try reader.tensor(stored).values)
      }
      return StepJobs.Made(
        gradients: gradients,
        weightsHashes: hashes.arrays.filter { $0.quantity == .weights }.map { $0.hashes.joined() })
    }
  }
}
