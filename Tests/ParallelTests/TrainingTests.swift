import Collectives
import Foundation
import Training
import XCTest

/// The same bits at any scale: a run of the whole job against the run of a single process.
final class TrainingTests: XCTestCase {
  private let job = Job.communicator
  nonisolated(unsafe) private static var known: RunRecord?

  /// What one process with one lane computes.
  private func golden() throws -> RunRecord {
    let golden = try Self.known ?? SmallRun().trainAlone()
    Self.known = golden
    return golden
  }

  func testEveryStepChangesTheWeights() throws {
    let golden = try golden()
    XCTAssertEqual(golden.hashes.count, 32)
    XCTAssertEqual(Set(golden.hashes).count, 32)
    XCTAssertEqual(golden.hashes.last, golden.finalHash)
    XCTAssertEqual(golden.reports.count, 9)
    XCTAssertEqual(golden.imagesByRank, [8 * SmallRun.trainingImages])
    XCTAssertNil(golden.stoppedAfterStep)
  }

  func testAnotherSeedGivesOtherWeights() throws {
    let (golden, other) = (try golden(), try SmallRun(epochs: 2, seed: 43).trainAlone())
    for (step, pair) in zip(golden.hashes, other.hashes).enumerated() {
      XCTAssertNotEqual(pair.0, pair.1, "step \(step)")
    }
  }

  func testWeightsAreThoseOfASingleProcess() throws {
    let golden = try golden()
    for lanes in 1...2 {
      let record = try SmallRun(lanes: lanes).train(job)
      XCTAssertNil(firstDifference(record, golden), "step, \(lanes) lane(s)")
      XCTAssertEqual(record.finalHash, golden.finalHash, "\(lanes) lane(s)")
      XCTAssertEqual(record.reports, golden.reports, "\(lanes) lane(s)")
    }
  }

  func testWavesLeaveTheBitsAlone() throws {
    let golden = try golden()
    for (lanes, wave) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
      let record = try SmallRun(epochs: 2, lanes: lanes, wave: wave).train(job)
      XCTAssertEqual(record.hashes.count, 2 * SmallRun.stepsPerEpoch)
      XCTAssertNil(firstDifference(record, golden), "step, \(lanes) lane(s), wave \(wave)")
      XCTAssertEqual(record.reports.prefix(2), golden.reports.prefix(2), "\(lanes) lane(s), wave \(wave)")
    }
  }

  /// Small buckets and messages, and ranks that pretend to sit on two nodes, in blocks or in turn.
  func testBucketsAndWaysOfExchangeLeaveTheBitsAlone() throws {
    let golden = try golden()
    let blocks = job.pretending(nodes: (0..<job.size).map { $0 * 2 / job.size })
    let inTurn = job.pretending(nodes: (0..<job.size).map { $0 % 2 })
    for (communicator, lanes, more) in [
      (job, 1, ["reduce.bucket_bytes=4096"]),
      (job, 2, ["reduce.bucket_bytes=100000", "reduce.shared_memory=false"]),
      (job, 2, ["reduce.fan_in=2", "reduce.shared_memory=false"]),
      (job, 1, ["reduce.bucket_bytes=4096", "reduce.shared_memory=false"]),
      (blocks, 2, ["reduce.bucket_bytes=20000"]), (inTurn, 1, []),
    ] {
      let record = try SmallRun(epochs: 2, lanes: lanes, more: more).train(communicator)
      XCTAssertNil(firstDifference(record, golden), "step, \(lanes) lane(s), \(more)")
      XCTAssertEqual(record.hashes.count, 2 * SmallRun.stepsPerEpoch)
      XCTAssertEqual(record.reports.prefix(2), golden.reports.prefix(2), "\(more)")
    }
  }

  /// Nobody looks at the weights between the steps of an epoch, so new values arrive while forward goes on.
  func testStepsThatOverlapLeaveTheBitsAlone() throws {
    let golden = try golden()
    let pairs = job.pretending(nodes: (0..<job.size).map { $0 / 2 })
    for (communicator, lanes, more) in [
      (job, 1, ["reduce.bucket_bytes=4096", "reduce.shared_memory=false"]),
      (job, 2, ["reduce.shared_memory=false"]), (job, 2, ["reduce.bucket_bytes=4096"]),
      (pairs, 1, ["reduce.bucket_bytes=20000"]),
    ] {
      let record = try SmallRun(epochs: 4, lanes: lanes, more: more, watches: false).train(communicator)
      XCTAssertEqual(record.finalHash, golden.hashes[4 * SmallRun.stepsPerEpoch - 1], "\(lanes), \(more)")
      XCTAssertEqual(record.reports.prefix(4), golden.reports.prefix(4), "\(lanes) lane(s), \(more)")
    }
  }

  /// Rounded sums are other numbers, the same on any number of ranks and lanes, by memory or by message.
  func testRoundedSumsAreTheSameOnAllRanks() throws {
    let bf16 = ["reduce.precision=bf16", "reduce.bucket_bytes=20000"]
    let golden = try SmallRun(epochs: 2, more: bf16).trainAlone()
    XCTAssertNotEqual(golden.hashes[0], try self.golden().hashes[0])
    for (lanes, wave, sharesMemory) in [(1, 0, true), (2, 0, false), (1, 2, false), (2, 1, true)] {
      let more = bf16 + ["reduce.shared_memory=\(sharesMemory)"]
      let record = try SmallRun(epochs: 2, lanes: lanes, wave: wave, more: more).train(job)
      XCTAssertEqual(record.hashes.count, golden.hashes.count)
      XCTAssertNil(firstDifference(record, golden), "step, \(lanes) lane(s), wave \(wave), \(more)")
      XCTAssertEqual(record.reports, golden.reports)
    }
  }

  /// Statistics over the global batch are other numbers, the same on any number of ranks and lanes; also where
  /// some have nothing to do (the last step of an epoch has two microbatches), and by whatever way sums travel.
  func testStatisticsOverTheGlobalBatchAreTheSameOnAllRanks() throws {
    let global = ["training.batch_statistics=global_batch"]
    let golden = try SmallRun(epochs: 2, more: global).trainAlone()
    XCTAssertEqual(Set(golden.hashes).count, 2 * SmallRun.stepsPerEpoch)
    XCTAssertNotEqual(golden.hashes[0], try self.golden().hashes[0])
    let inTurn = job.pretending(nodes: (0..<job.size).map { $0 % 2 })
    for (communicator, lanes, more) in [
      (job, 1, []), (job, 2, []), (job, 2, ["reduce.shared_memory=false", "reduce.bucket_bytes=4096"]),
      (inTurn, 1, ["reduce.bucket_bytes=20000"]),
    ] {
      for watches in [true, false] {
        let record = try SmallRun(epochs: 2, lanes: lanes, more: global + more, watches: watches)
          .train(communicator)
        if watches { XCTAssertEqual(record.hashes, golden.hashes, "\(lanes) lane(s), \(more)") }
        XCTAssertEqual(record.reports, golden.reports, "\(lanes) lane(s), \(more)")
        XCTAssertEqual(record.finalHash, golden.finalHash, "\(lanes) lane(s), \(more)")
      }
    }
  }

  /// Batch norm alone, with ReLU and with a residual; and steps in which only one lane of all has work.
  func testGlobalStatisticsOfAResidualNetworkAreTheSameOnAllRanks() throws {
    let layers = """
      model.layers=[{conv2d: {channels: 20, kernel: 3, padding: 1}}, {batch_norm2d: {name: a}}, \
      {conv2d: {channels: 20, kernel: 3, padding: 1}}, {batch_norm2d: {name: b}}, {add: {inputs: [a, b]}}, relu, \
      {conv2d: {channels: 8, kernel: 3}}, batch_norm2d, relu, flatten, {linear: {features: classes}}]
      """
    for batch in ["training.batch=26", "training.batch=4"] {
      let more = ["training.batch_statistics=global_batch", layers, batch]
      let golden = try SmallRun(epochs: 1, more: more).trainAlone()
      for lanes in 1...2 {
        let record = try SmallRun(epochs: 1, lanes: lanes, more: more).train(job)
        XCTAssertEqual(record.hashes, golden.hashes, "\(batch), \(lanes) lane(s)")
        XCTAssertEqual(record.reports, golden.reports, "\(batch), \(lanes) lane(s)")
      }
    }
  }

  /// Frozen at first and unfrozen in two steps, with rates by group: the same bits on any number of ranks and lanes,
  /// and when stopped before, at or behind an unfreezing and continued elsewhere.
  func testUnfreezingGivesTheSameBitsOnAllRanks() throws {
    for batchNorm in ["frozen", "train"] {
      let more = [
        "transfer.freeze=[block1, block2.*, hidden]", "transfer.batch_norm=\(batchNorm)", "ema.decay=0.8",
        "transfer.unfreeze=[{epoch: 1, layers: [hidden]}, {epoch: 3, layers: all}]",
        "optimizer.layer_decay=0.8",
        "optimizer.groups=[{names: ['*.bias'], rate_scale: 2.0, weight_decay: 0.0}]",
        "checks.recompute_every=3",
      ]
      let golden = try SmallRun(epochs: 5, more: more).trainAlone()
      XCTAssertEqual(Set(golden.hashes).count, 5 * SmallRun.stepsPerEpoch)
      XCTAssertNotEqual(golden.finalHash, try self.golden().hashes[5 * SmallRun.stepsPerEpoch - 1])
      let inTurn = job.pretending(nodes: (0..<job.size).map { $0 % 2 })
      for (communicator, lanes, ways) in [
        (job, 1, []), (job, 2, ["reduce.shared_memory=false", "reduce.bucket_bytes=4096"]), (inTurn, 1, []),
      ] {
        let record = try SmallRun(epochs: 5, lanes: lanes, more: more + ways).train(communicator)
        XCTAssertNil(firstDifference(record, golden), "step, \(batchNorm), \(lanes) lane(s), \(ways)")
        XCTAssertEqual(record.finalHash, golden.finalHash, "\(batchNorm), \(lanes) lane(s), \(ways)")
        XCTAssertEqual(record.reports, golden.reports, "\(batchNorm), \(lanes) lane(s), \(ways)")
      }
      for step in [1, 3, 13] {
        try withSharedDirectory { directory in
          let first = try SmallRun(epochs: 5, more: more, signalInStep: step).train(job, in: directory)
          let second = try SmallRun(epochs: 5, lanes: 2).trainAlone(in: directory, resume: true)
          XCTAssertEqual(first.hashes + second.hashes, golden.hashes, "\(batchNorm), stopped in \(step)")
          XCTAssertEqual(second.finalHash, golden.finalHash, "\(batchNorm), stopped in \(step)")
        }
      }
    }
  }

  /// A teacher's scores of a microbatch are the same wherever it is computed, and it teaches on when its student is
  /// stopped and continued elsewhere.
  func testAStudentHasTheSameBitsOnAllRanks() throws {
    try withSharedDirectory { teacher in
      _ = try SmallRun(epochs: 1, seed: 7).trainAlone(in: teacher)
      let more = [
        "distillation.teacher=\(teacher)", "distillation.weight=0.8", "loss.class_weights=balanced",
        "checks.recompute_every=3",
      ]
      let golden = try SmallRun(epochs: 2, more: more).trainAlone()
      XCTAssertEqual(Set(golden.hashes).count, 2 * SmallRun.stepsPerEpoch)
      XCTAssertNotEqual(golden.hashes[0], try self.golden().hashes[0])
      for (lanes, wave, ways) in [
        (1, 0, []), (2, 0, ["reduce.shared_memory=false", "reduce.bucket_bytes=4096"]), (2, 1, []),
      ] {
        let record = try SmallRun(epochs: 2, lanes: lanes, wave: wave, more: more + ways).train(job)
        XCTAssertEqual(record.hashes, golden.hashes, "\(lanes) lane(s), wave \(wave), \(ways)")
        XCTAssertEqual(record.reports, golden.reports, "\(lanes) lane(s), wave \(wave), \(ways)")
      }
      try withSharedDirectory { directory in
        let first = try SmallRun(epochs: 2, more: more, signalInStep: 2).train(job, in: directory)
        let second = try SmallRun(epochs: 2, lanes: 2).trainAlone(in: directory, resume: true)
        XCTAssertEqual(first.hashes + second.hashes, golden.hashes, "resumed")
        XCTAssertEqual(second.finalHash, golden.finalHash, "resumed")
      }
    }
  }

  /// The first step whose weights differ.
  private func firstDifference(_ a: RunRecord, _ b: RunRecord) -> Int? {
    zip(a.hashes, b.hashes).enumerated().first { $1.0 != $1.1 }?.offset
  }

  /// Batches of another size, in which some ranks have nothing to do at all.
  func testRanksWithoutMicrobatchesTakePart() throws {
    let more = ["training.batch=8"]
    let golden = try SmallRun(epochs: 2, more: more).trainAlone()
    let record = try SmallRun(epochs: 2, lanes: 2, more: more).train(job)
    XCTAssertEqual(record.hashes, golden.hashes)
    XCTAssertEqual(record.reports, golden.reports)
    XCTAssertEqual(record.imagesByRank.reduce(0, +), 2 * SmallRun.trainingImages)
    if job.size > 2 { XCTAssert(record.imagesByRank.contains(0), "\(record.imagesByRank)") }
  }

  func testImagesOfAllRanksAddUpToTheEpochs() throws {
    let record = try SmallRun(epochs: 2).train(job)
    XCTAssertEqual(record.imagesByRank.count, job.size)
    XCTAssertEqual(record.imagesByRank.reduce(0, +), 2 * SmallRun.trainingImages)
    XCTAssertFalse(record.imagesByRank.contains(0))
  }

  /// What needs norms over all slices, and what follows the weights, stopped and continued elsewhere.
  func testLargeBatchOptimizersGiveTheSameBits() throws {
    let variants = [
      ["optimizer.name=lamb", "optimizer.clip_norm=0.5", "ema.decay=0.8"],
      [
        "optimizer.name=lars", "optimizer.momentum=0.9", "optimizer.learning_rate=0.1",
        "optimizer.adapt_biases_and_norms=true", "schedule.scaling=square_root",
      ],
      ["optimizer.name=sgd", "optimizer.clip_value=0.01", "optimizer.clip_norm=0.1", "ema.decay=0.9"],
    ]
    for more in variants {
      let golden = try SmallRun(epochs: 2, more: more).trainAlone()
      XCTAssertEqual(Set(golden.hashes).count, 2 * SmallRun.stepsPerEpoch)
      for lanes in 1...2 {
        let record = try SmallRun(epochs: 2, lanes: lanes, more: more).train(job)
        XCTAssertEqual(record.hashes, golden.hashes, "\(more), \(lanes) lane(s)")
        XCTAssertEqual(record.reports, golden.reports, "\(more), \(lanes) lane(s)")
        XCTAssertEqual(record.finalHash, golden.finalHash, "\(more), \(lanes) lane(s)")
      }
      try withSharedDirectory { directory in
        let first = try SmallRun(epochs: 2, more: more, signalInStep: 2).train(job, in: directory)
        let second = try SmallRun(epochs: 2, lanes: 2).trainAlone(in: directory, resume: true)
        XCTAssertEqual(first.hashes + second.hashes, golden.hashes, "\(more), resumed")
        XCTAssertEqual(second.finalHash, golden.finalHash, "\(more), resumed")
        XCTAssertEqual(second.reports, golden.reports, "\(more), resumed")
      }
    }
  }

  /// With a moving average the weights of a run are the average: neither the values nor the first ones.
  func testTheAverageIsWhatIsEvaluated() throws {
    let plain = try SmallRun(epochs: 1).train(job)
    let averaged = try SmallRun(epochs: 1, more: ["ema.decay=0.5"]).train(job)
    XCTAssertEqual(averaged.hashes, plain.hashes)
    XCTAssertNotEqual(averaged.finalHash, plain.finalHash)
    XCTAssertNotEqual(averaged.reports, plain.reports)
  }

  /// The negative control: without the tree the bits follow the number of ranks. Eight microbatches, because
  /// seven happen to fall to three ranks as the tree groups them.
  func testAllReduceDiffersOnThreeRanks() throws {
    let more = ["training.batch=32"]
    let golden = try SmallRun(epochs: 1, more: more).trainAlone()
    let record = try SmallRun(epochs: 1, more: more, mode: .allReduce).train(job)
    XCTAssertEqual(record.hashes.count, golden.hashes.count)
    if job.size == 3 { XCTAssertNotEqual(record.hashes[0], golden.hashes[0]) }
    let all = try job.exchange(record.hashes)
    XCTAssert(all.allSatisfy { $0 == all[0] })
    XCTAssertEqual(try SmallRun(epochs: 1, more: more).train(job).hashes, golden.hashes)
  }

  /// Stopped inside an epoch by all ranks, continued by one process; and the other way round.
  func testResumedAtAnotherCountIsTheRunThatNeverStopped() throws {
    let golden = try golden()
    let (stopping, other) = (SmallRun(signalInStep: 9), SmallRun(lanes: 2, wave: 1))
    try withSharedDirectory { directory in
      let first = try stopping.train(job, in: directory)
      XCTAssertEqual(first.stoppedAfterStep, 10)
      check(first, try other.trainAlone(in: directory, resume: true), golden)
    }
    try withSharedDirectory { directory in
      let first = try stopping.trainAlone(in: directory)
      XCTAssertEqual(first.stoppedAfterStep, 10)
      check(first, try other.train(job, in: directory, resume: true), golden)
    }
  }

  private func check(_ first: RunRecord, _ second: RunRecord, _ golden: RunRecord, line: UInt = #line) {
    XCTAssertEqual(first.hashes.count, 10, line: line)
    XCTAssertEqual(first.hashes + second.hashes, golden.hashes, line: line)
    XCTAssertEqual(first.reports + second.reports, golden.reports, line: line)
    XCTAssertEqual(second.finalHash, golden.finalHash, line: line)
  }

  func testALossThatIsNotFiniteEndsAllRanksWithOneSentence() throws {
    func message(_ communicator: Communicator) -> String {
      do {
        // Three microbatches: on four ranks one sees nothing wrong by itself.
        let more = ["optimizer.learning_rate=1e30", "training.batch=12"]
        _ = try SmallRun(more: more).train(communicator)
        return "trained"
      } catch {
        return "\(error)"
      }
    }
    let alone = try job.fromCoordinator { message(try Communicator.start(environment: [:])) }
    XCTAssertTrue(
      alone.hasPrefix(
        "step 1: the loss of microbatch 0 is not a finite number; the first layer whose output"), alone)
    XCTAssertEqual(message(job), alone)
  }
}
