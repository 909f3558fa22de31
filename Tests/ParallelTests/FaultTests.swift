import Collectives
import Foundation
import Tensors
import Training
import XCTest

/// One bit flipped in the middle of a run, on one rank: found by all, and named.
final class FaultTests: XCTestCase {
  private let job = Job.communicator

  /// Flips a bit of a float.
  private static func flip(_ float: UnsafeMutablePointer<Float>) {
    float.pointee = Float(bitPattern: float.pointee.bitPattern ^ 1 << 3)
  }

  /// Trains two epochs of four steps and calls `meddle` on every rank after the second step; what the run
  /// then says, on every rank the same, or the hashes of the weights it ends with.
  private func train(
    _ more: [String] = [], _ meddle: @escaping (TrainingStep) throws -> Void
  ) throws -> String {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let options = TrainOptions(
      config: nil,
      overrides: SmallRun(epochs: 2, more: ["checks.recompute_every=0"] + more).overrides,
      directory: directory,
      resume: false)
    let training = try TrainingJob.prepare(options, communicator: job)
    let text: String
    do {
      _ = try Trainer(
        training,
        sinks: [
          Meddler(after: 1) {
            // So that nobody writes or reads while the bit is flipped.
            try? training.step.settle()
            try? meddle(training.step)
          }
        ]
      ).run(resume: false)
      text = "trained"
    } catch {
      text = "\(error)"
      // A job would end here; this one's messages must not reach the next.
      try training.step.reducer.settle()
    }
    XCTAssertEqual(Set(try job.exchange(text)).count, 1, "ranks say different things")
    return text
  }

  private final class Meddler: RunSink {
    private let step: Int
    private let meddle: () -> Void

    init(after step: Int, _ meddle: @escaping () -> Void) { (self.step, self.meddle) = (step, meddle) }

    func receive(_ event: RunEvent) {
      if case .step(let report) = event, report.step == step { meddle() }
    }
  }

  func testWithoutAFaultTheChecksAreSilent() throws {
    for statistics in ["microbatch", "global_batch"] {
      let more = ["checks.recompute_every=1", "training.batch_statistics=\(statistics)"]
      XCTAssertEqual(try train(more) { _ in }, "trained", statistics)
    }
  }

  /// The largest array in what a rank owns, and a place in the middle of it.
  private func target(of rank: Int, _ step: TrainingStep) -> (name: String, place: Int) {
    let owned = step.reducer.buckets.pieces(of: rank)
    let parts = owned.flatMap { piece in
      step.network.layout.parameters.map { ($0.name, $0.range.clamped(to: piece)) }
    }
    let largest = parts.max { $0.1.count < $1.1.count } ?? ("", 0..<1)
    return (largest.0, largest.1.lowerBound + largest.1.count / 2)
  }

  private static let optimizers = [[], ["optimizer.name=lamb", "optimizer.clip_norm=1"]]

  func testABitInAWeight() throws {
    for more in Self.optimizers {
      for owner in 0..<job.size {
        var name = ""
        let text = try train(more) { [job] step in
          let (array, place) = self.target(of: owner, step)
          name = array
          // Ranks of a node share the weights: a bit that one of them flips is flipped for all.
          if job.rank == owner { Self.flip(step.values.pointer + place) }
        }
        XCTAssertTrue(
          text.hasPrefix("step 2: \(name), which rank \(owner) owns, has changed in its memory"), text)
      }
    }
  }

  /// Where ranks don't share memory, each has a copy of what the others own.
  func testABitInAGatheredCopy() throws {
    guard job.size > 1 else { return }
    for more in Self.optimizers {
      for holder in [0, job.size - 1] {
        var name = ""
        let text = try train(more + ["reduce.shared_memory=false"]) { [job] step in
          let (array, place) = self.target(of: (holder + 1) % job.size, step)
          name = array
          if job.rank == holder { Self.flip(step.values.pointer + place) }
        }
        XCTAssertTrue(
          text.hasPrefix("step 2: \(name), of which rank \(holder) holds a copy, has changed in its memory"),
          text)
      }
    }
  }

  func testABitInAMoment() throws {
    let owner = job.size - 1
    for more in Self.optimizers {
      for (state, name) in ["exp_avg", "exp_avg_sq"].enumerated() {
        var array = ""
        let text = try train(more) { [job] step in
          let (found, place) = self.target(of: owner, step)
          array = found
          if job.rank == owner {
            Self.flip(step.optimizer.states(of: place..<(place + 1))[state])
          }
        }
        XCTAssertTrue(
          text.hasPrefix("step 2: \(name) of \(array), which rank \(owner) owns, has changed in its memory"),
          text)
      }
    }
  }

  /// Gradients have no memory to compare with: another rank computes them again.
  func testABitInAGradient() throws {
    for statistics in ["microbatch", "global_batch"] {
      let more = ["checks.recompute_every=1", "training.batch_statistics=\(statistics)"]
      let text = try train(more) { step in
        step.plantedFault = { name, gradients in
          if name == "block2.conv.weight", let first = gradients.baseAddress { Self.flip(first + 5) }
        }
      }
      let pattern =
        #"^step 2: microbatch [0-6] has other gradients on (lane 0 of )?rank ([0-9]), which owns it, than on "#
        + #"(lane 0 of )?rank ([0-9]), which computed it again: first, on the way back, block2\.conv\.weight\."#
      let match = try XCTUnwrap(
        try NSRegularExpression(pattern: pattern).firstMatch(
          in: text, range: NSRange(text.startIndex..., in: text)), text)
      let ranks = [2, 4].map { (text as NSString).substring(with: match.range(at: $0)) }
      XCTAssertEqual(ranks[0] == ranks[1], job.size == 1, text)
    }
  }

  /// The negative control: nobody looks, nobody finds.
  func testWithoutChecksABitIsTrainedOn() throws {
    let text = try train(["checks.memory=false"]) { [job] step in
      if job.rank == 0 { Self.flip(step.values.pointer + 3) }
    }
    XCTAssertEqual(text, "trained")
  }

  func testRanksWithOtherSettingsAreNamed() throws {
    guard job.size > 1 else { return }
    let options = TrainOptions(
      config: nil, overrides: ["seed=\(job.rank == 1 ? 7 : 1)"], directory: nil, resume: false, isKept: false)
    XCTAssertThrowsError(try TrainingJob.prepare(options, communicator: job)) { error in
      let others = job.size == 2 ? "rank 0 has" : job.size == 3 ? "ranks 0, 2 have" : "ranks 0, 2–3 have"
      XCTAssertEqual("\(error)", "\(others) --set seed=1, rank 1 has seed=7")
    }
  }

  /// A rank whose copy of the data has another file in it, or lacks one.
  func testRanksWithOtherFilesAreNamed() throws {
    guard job.size > 1 else { return }
    try withSharedDirectory { directory in
      let folder = "\(directory)-\(job.rank)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let paths = ["a.png", "b.png"].map { "\(folder)/\($0)" }
      func agree() throws { try job.requireEqual([("image files", StartAgreement.sizes(of: paths))]) }
      for path in paths { try DurableFile.write(Array(repeating: 0, count: 10), to: path) }
      try agree()
      if job.rank == 1 { try DurableFile.write(Array(repeating: 0, count: 11), to: paths[1]) }
      XCTAssertThrowsError(try agree()) {
        XCTAssertTrue("\($0)".contains("rank 1 has of fingerprint"), "\($0)")
      }
      if job.rank == 1 { try FileManager.default.removeItem(atPath: paths[1]) }
      XCTAssertThrowsError(try agree()) {
        XCTAssertTrue("\($0)".contains("rank 1 has \(directory)-1/b.png missing"), "\($0)")
      }
    }
  }
}
