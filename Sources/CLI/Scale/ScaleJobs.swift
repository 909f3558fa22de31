import Collectives
import Foundation
import Reports
import Tensors
import Training

/// The jobs of a scaling experiment on this machine or inside an allocation.
struct ScaleJobs {
  let plan: ScalePlan
  let folder: ScaleFolder

  /// A logical CPU of each core that this process may run on.
  static var cores: [Int] {
    let all = CPUAffinity.topology(of: CPUAffinity.unbound)
    return Set(all.map(\.core)).sorted().map { core in
      all.filter { $0.core == core }.map(\.id).min() ?? core
    }
  }

  /// How long a reduction alone is measured.
  private static let reduceSeconds = "0.5"

  /// Measures a point once and keeps what it found in the folder.
  func measure(_ point: ScalePlan.Point, round: Int) throws {
    let step = try record(
      job(
        ["bench", "step", "--batch", "\(point.batch)", "--lanes", "\(point.lanes)", "--json"]
          + plan.arguments, point),
      name: "\(point.name)-\(round)-step")
    var bandwidth: Double?
    if point.ranks > 1 {
      let reduce = try run(
        [
          job(
            [
              "bench", "reduce", "--bytes", "\(step.cost.gradientBytes)", "--seconds", Self.reduceSeconds,
              "--json",
            ], point)
        ],
        name: "\(point.name)-\(round)-reduce")
      bandwidth = try ReduceResult.busBandwidth(reduce[0])
    }
    var independent: Double?
    // Of one worker there is nothing to compare; processes on other nodes aren't started from here.
    if plan.independent, step.cost.nodes == 1 {
      independent = point.workers == 1 ? step.meanImagesPerSecond : try runIndependent(point, round: round)
    }
    try folder.keep(
      ScaleMeasurement(step: step, independent: independent, busBandwidth: bandwidth), of: point, round: round
    )
  }

  private func job(_ arguments: [String], _ point: ScalePlan.Point) -> ChildJob {
    ChildJob(
      launcher: point.ranks == 1 ? [] : plan.launcher, ranks: point.ranks, arguments: arguments,
      oversubscribes: point.workers > plan.cores)
  }

  /// As many processes at once as the point has workers, each with its share of the images and a core of its own,
  /// as far as there are.
  private func runIndependent(_ point: ScalePlan.Point, round: Int) throws -> Double {
    let cores = Self.cores
    let arguments =
      ["bench", "step", "--batch", "\(plan.independentBatch(of: point))", "--lanes", "1", "--json"]
      + plan.arguments
    let jobs = (0..<point.workers).map { worker in
      ChildJob(launcher: [], ranks: 1, arguments: arguments, cpus: [cores[worker % cores.count]])
    }
    return try run(jobs, name: "\(point.name)-\(round)-independent").reduce(0) {
      $0 + (try JSONDecoder().decode(StepRecord.self, from: $1).meanImagesPerSecond)
    }
  }

  private func record(_ job: ChildJob, name: String) throws -> StepRecord {
    try JSONDecoder().decode(StepRecord.self, from: try run([job], name: name)[0])
  }

  /// Runs jobs at the same time; what each printed.
  private func run(_ jobs: [ChildJob], name: String) throws -> [Data] {
    let paths = jobs.indices.map { folder.path("jobs/\(name)\(jobs.count > 1 ? "-\($0)" : "").json") }
    var running: [ChildJob.Running] = []
    do {
      for (job, path) in zip(jobs, paths) {
        running.append(try job.start(output: path, errors: path + ".log"))
      }
      for job in running { try job.wait() }
    } catch {
      for job in running { job.stop() }
      throw error
    }
    return try paths.map { path in
      try? FileManager.default.removeItem(atPath: path + ".log")
      guard let data = FileManager.default.contents(atPath: path) else {
        throw FileError(path: path, cannot: "read")
      }
      return data
    }
  }
}

/// What `bench reduce --json` prints, as far as it is read here.
struct ReduceResult: Decodable {
  struct Size: Decodable {
    let bytes: Int
    let treeSeconds: Double
    /// By rank.
    let bytesSent: [Int]

    enum CodingKeys: String, CodingKey {
      case bytes
      case treeSeconds = "tree_seconds"
      case bytesSent = "bytes_sent"
    }
  }

  let ranks: Int
  let sizes: [Size]

  /// Of the first size: 2 (n - 1) / n of the buffer in a second.
  static func busBandwidth(_ data: Data) throws -> Double? {
    let result = try JSONDecoder().decode(ReduceResult.self, from: data)
    return result.sizes.first.map {
      2 * Double(result.ranks - 1) / Double(result.ranks) * Double($0.bytes) / $0.treeSeconds
    }
  }
}
