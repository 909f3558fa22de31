import Collectives
import Foundation
import Tensors
import Training
import XCTest

/// What a small training run did, to be compared bit for bit.
struct RunRecord: Codable, Equatable {
  /// The hash of the weights after each step of this process's part of the run.
  var hashes: [String] = []
  /// What each evaluation found, those of the validation split and then the one of the test split.
  var reports: [ClassificationReport] = []
  /// Images that each rank computed in training; empty for a run that was stopped.
  var imagesByRank: [Int] = []
  var finalHash: String?
  var stoppedAfterStep: Int?
}

/// Trains the seed CNN for eight epochs of four steps on synthetic cells of 16 × 16, with dropout, augmentation and batch norm: 84
/// images in batches of 26 (7 microbatches of 4, 4, 4, 4, 4, 3 and 3 images), so the last batch of an epoch has 6.
struct SmallRun {
  static let trainingImages = 84
  static let stepsPerEpoch = 4

  var epochs = 8
  var lanes = 1
  var wave = 0
  var seed = 42
  var more: [String] = []
  var mode = ReductionMode.tree
  /// Whether the weights are looked at after each step; if not, a step begins before the last one's are everywhere.
  var watches = true
  /// The signal SIGUSR1 reaches the last rank in this step, counted from 0.
  var signalInStep: Int?

  var overrides: [String] {
    [
      "seed=\(seed)", "data.image.size=16", "data.synthetic.images=120", "training.batch=26",
      "training.microbatch=4", "training.epochs=\(epochs)", "training.lanes=\(lanes)",
      "training.wave=\(wave)", "data.augmentation.quarter_turns=true",
      // Rates that do not follow from the number of epochs, so that a shorter run is the beginning of a longer.
      "schedule.name=step", "schedule.step_epochs=1", "schedule.gamma=0.8", "schedule.warmup_epochs=0.5",
    ] + more
  }

  /// Trains in `directory`, or in a new one that is gone afterwards. Collective over `communicator`.
  func train(_ communicator: Communicator, in directory: String? = nil, resume: Bool = false) throws
    -> RunRecord
  {
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-\(UUID())").path
    defer { if directory == nil { try? FileManager.default.removeItem(atPath: scratch) } }
    let options = TrainOptions(
      config: nil, overrides: resume ? ["training.lanes=\(lanes)", "training.wave=\(wave)"] : overrides,
      directory: directory ?? scratch, resume: resume)
    StopSignals.install()
    let job = try TrainingJob.prepare(options, communicator: communicator, mode: mode)
    let recorder = Recorder(
      job, signalInStep: communicator.rank == communicator.size - 1 ? signalInStep : nil,
      watches: watches)
    let outcome = try Trainer(job, sinks: [recorder]).run(resume: resume)
    var record = recorder.record
    switch outcome {
    case .finished(let summary):
      record.imagesByRank = summary.imagesByRank
      record.finalHash = summary.weightsHash
      if let test = summary.test { record.reports.append(test) }
    case .stopped(_, let step): record.stoppedAfterStep = step
    }
    return record
  }

  /// What a single process computes, known to all ranks. Rank 0 works, the others wait.
  func trainAlone(in directory: String? = nil, resume: Bool = false) throws -> RunRecord {
    try Job.communicator.fromCoordinator {
      try train(try Communicator.start(environment: [:]), in: directory, resume: resume)
    }
  }
}

/// Listens on every rank.
private final class Recorder: RunSink {
  private let job: TrainingJob
  private let signalInStep: Int?
  private let watches: Bool
  private(set) var record = RunRecord()

  init(_ job: TrainingJob, signalInStep: Int?, watches: Bool) {
    self.job = job
    self.watches = watches
    self.signalInStep = signalInStep
  }

  func receive(_ event: RunEvent) {
    switch event {
    case .step(let report):
      if watches {
        XCTAssertNoThrow(try job.step.settle())
        record.hashes.append(
          WeightsHash.of(job.step.values.pointer, layout: job.network.layout).description)
      }
      if report.step == signalInStep { raise(SIGUSR1) }
    case .epoch(let report): if let validation = report.validation { record.reports.append(validation) }
    default: break
    }
  }
}

/// Runs `body` with a path for rank 0's files; what is there afterwards is removed.
func withSharedDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  let directory = try Job.communicator.fromCoordinator {
    FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-\(UUID())").path
  }
  defer { if Job.communicator.rank == 0 { try? FileManager.default.removeItem(atPath: directory) } }
  return try body(directory)
}
