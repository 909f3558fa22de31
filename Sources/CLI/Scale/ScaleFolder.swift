import Foundation
import Reports
import Tensors
import Training

/// Where a scaling experiment keeps its plan, what each job printed, what was measured, and the report.
struct ScaleFolder {
  let folder: String

  init(_ folder: String) { self.folder = folder }

  func path(_ name: String) -> String { "\(folder)/\(name)" }

  /// Makes the folder. Throws where another experiment has been kept in it.
  func begin(_ plan: ScalePlan) throws {
    if FileManager.default.fileExists(atPath: path("plan.json")) {
      throw RunError("\(folder) holds another scaling experiment: choose another folder for --out")
    }
    try FileManager.default.createDirectory(atPath: path("jobs"), withIntermediateDirectories: true)
    try write(plan, "plan.json")
  }

  func keep(_ measurement: ScaleMeasurement, of point: ScalePlan.Point, round: Int) throws {
    try write(measurement, measured(point, round))
  }

  private func measured(_ point: ScalePlan.Point, _ round: Int) -> String {
    "jobs/\(point.name)-\(round).json"
  }

  /// Of what is there. Throws where a point has no measurement at all.
  func report() throws -> ScaleReport {
    let plan: ScalePlan = try Self.read(path("plan.json"))
    var all: [ScalePlan.Point: [ScaleMeasurement]] = [:]
    for point in plan.points {
      all[point] = try (0..<plan.rounds).compactMap { try measurement(of: point, round: $0) }
    }
    let missing = plan.points.filter { all[$0, default: []].isEmpty }
    guard missing.isEmpty else {
      throw RunError(
        "\(folder) has no result yet of \(missing.map(\.name).joined(separator: ", ")): have its jobs run?")
    }
    // What compares rounds needs the same ones of each point.
    let rounds = plan.points.map { all[$0, default: []].count }.min() ?? 0
    return ScaleReport(plan, measured: all.mapValues { Array($0.prefix(rounds)) })
  }

  /// Kept as such, or as what the jobs of a batch script printed.
  private func measurement(of point: ScalePlan.Point, round: Int) throws -> ScaleMeasurement? {
    let files = FileManager.default
    if files.fileExists(atPath: path(measured(point, round))) {
      return try Self.read(path(measured(point, round)))
    }
    let step = path("jobs/\(point.name)-\(round)-step.json")
    guard files.fileExists(atPath: step) else { return nil }
    let reduce = files.contents(atPath: path("jobs/\(point.name)-\(round)-reduce.json"))
    return ScaleMeasurement(
      step: try Self.read(step), independent: nil, busBandwidth: try reduce.flatMap(ReduceResult.busBandwidth)
    )
  }

  /// The report for programs, for spreadsheets and as pictures.
  func write(_ report: ScaleReport) throws {
    try write(report, "scale.json")
    try DurableFile.replace(path("scale.csv"), with: Array(report.csv.utf8))
    try report.figure.write(to: folder, name: "scale", width: 1340)
  }

  private func write(_ value: some Encodable, _ name: String) throws {
    try DurableFile.replace(path(name), with: Array(try JSONOutput.text(value).utf8))
  }

  static func report(_ path: String) throws -> ScaleReport { try read(path) }

  private static func read<Value: Decodable>(_ path: String) throws -> Value {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw FileError(path: path, cannot: "read")
    }
    do {
      return try JSONDecoder().decode(Value.self, from: data)
    } catch {
      throw FileError(path: path, problem: "isn't what `cnn-dist scale` writes: \(error)")
    }
  }
}
