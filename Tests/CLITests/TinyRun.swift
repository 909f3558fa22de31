import Collectives
import Foundation
import Training

@testable import CLI

/// Runs `body` with the path of a new, empty directory that is gone afterwards.
func withScratchDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
    "cnn-dist-\(UUID().uuidString)"
  ).path
  try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: directory) }
  return try body(directory)
}

/// What `body` throws, in words; what else happened where it doesn't throw.
func refusal(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "accepted"
  } catch {
    return "\(error)"
  }
}

/// A run that takes a moment: 60 cells of 16 × 16 pixels in 3 kinds, one epoch of LeNet-5.
struct TinyRun {
  static let settings = [
    "model.name=lenet5", "data.image.size=16", "data.synthetic.images=60", "data.synthetic.kinds=3",
    "training.epochs=1", "training.batch=16", "training.microbatch=8", "training.lanes=2",
  ]

  let path: String
  let summary: RunSummary

  /// Trains in `directory/run`; `settings` come after those above.
  init(in directory: String, _ settings: [String] = []) throws {
    path = directory + "/run"
    let job = try TrainingJob.prepare(
      TrainOptions(config: nil, overrides: Self.settings + settings, directory: path, resume: false),
      communicator: try TinyRun.alone())
    guard case .finished(let summary) = try Trainer(job, sinks: []).run(resume: false) else {
      throw RunError("the tiny run was stopped")
    }
    self.summary = summary
  }

  /// A job of this process.
  static func alone() throws -> Communicator { try Communicator.start(environment: [:]) }

  /// The cells that the run was trained on, as files under `folder`.
  static func writeCells(to folder: String, seed: Int = 42) throws {
    let command = try DataSynthCommand.parse([
      "--out", folder, "--images", "60", "--size", "18", "--kinds", "3", "--seed", "\(seed)",
    ])
    try command.write()
  }
}
