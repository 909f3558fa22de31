import Collectives
import Foundation
import Tensors
import Training
import XCTest

/// A trace holds what every rank and lane did, on one clock.
final class TraceTests: XCTestCase {
  private let job = Job.communicator

  private struct Event: Decodable {
    struct Arguments: Decodable {
      var step: Int?
      var name: String?
    }
    var ph: String
    var name: String
    var pid: Int
    var tid: Int
    var ts: Double?
    var dur: Double?
    var args: Arguments
    var end: Double { (ts ?? 0) + (dur ?? 0) }
  }

  private struct Trace: Decodable { var traceEvents: [Event] }

  func testEveryRankAndLaneIsThere() throws {
    try withSharedDirectory { directory in
      let path = directory + ".json"
      defer { if job.rank == 0 { try? FileManager.default.removeItem(atPath: path) } }
      let options = TrainOptions(
        config: nil, overrides: SmallRun(epochs: 1, lanes: 2).overrides, directory: directory, resume: false,
        trace: path)
      let training = try TrainingJob.prepare(options, communicator: job)
      _ = try Trainer(training, sinks: []).run(resume: false)
      try job.together {
        guard job.rank == 0 else { return }
        try check(try JSONDecoder().decode(Trace.self, from: Data(contentsOf: URL(fileURLWithPath: path))))
      }
    }
  }

  private func check(_ trace: Trace) throws {
    let spans = trace.traceEvents.filter { $0.ph == "X" }
    let names = trace.traceEvents.filter { $0.ph == "M" && $0.name == "thread_name" }.compactMap(\.args.name)
    XCTAssertEqual(names, Array(repeating: ["rank", "lane 0", "lane 1"], count: job.size).flatMap { $0 })
    for rank in 0..<job.size {
      let own = spans.filter { $0.pid == rank && $0.tid == 0 }
      XCTAssertEqual(own.filter { $0.name == "compute" }.map(\.args.step), Array(0..<SmallRun.stepsPerEpoch))
      for phase in ["wait for data", "evaluation", "checkpoint"] {
        XCTAssertTrue(own.contains { $0.name == phase }, "\(phase) of rank \(rank)")
      }
      // A lane's spans lie in the rank's computing, forward before backward.
      for lane in spans where lane.pid == rank && lane.tid > 0 {
        XCTAssertTrue(
          ["forward", "backward", "reduce", "update", "gather", "finish"].contains(lane.name), lane.name)
        let around = own.first { $0.name == "compute" && $0.args.step == lane.args.step }
        XCTAssertTrue((around?.ts ?? .infinity) <= (lane.ts ?? 0) + 1 && lane.end <= (around?.end ?? 0) + 1)
      }
    }
    XCTAssertTrue(spans.contains { $0.name == "update" && $0.tid > 0 })
    // Each lane with a microbatch, of which a full step has seven.
    let computing = Set(spans.filter { $0.name == "backward" }.map { [$0.pid, $0.tid] })
    XCTAssertEqual(computing.count, min(2 * job.size, 7))
    // No rank begins a step before every rank's losses of the last are known: true only if clocks are aligned.
    // Ranks of a machine share a clock, so a millisecond is much.
    for step in 1..<SmallRun.stepsPerEpoch {
      let known = spans.filter { $0.name == "forward" && $0.args.step == step - 1 }.map(\.end).max() ?? 0
      let begun = spans.filter { $0.name == "compute" && $0.args.step == step }.compactMap(\.ts).min() ?? 0
      XCTAssertGreaterThan(begun + 1000, known, "step \(step)")
    }
  }

  func testClocksOfOneMachineAgree() throws {
    let readings = try [ClockAlignment.read(job), ClockAlignment.read(job)]
    for reading in readings { XCTAssertLessThan(abs(reading.offset), 0.005) }
    if job.rank == 0 { XCTAssertEqual(readings.map(\.offset), [0, 0]) }
  }
}
