import Foundation
import Layers
import Tensors
import Training

/// What one job of `verify` is run with.
struct VerifyRow {
  /// What may change bits.
  struct Binding: Hashable {
    let isa: InstructionSet?
    let convolution: ConvolutionChoice?
  }

  /// What must not, beside ranks and lanes.
  struct Variation {
    let setting: String?
    let launcher: String
  }

  let ranks: Int
  let lanes: Int
  let binding: Binding
  let variation: Variation
  let isVaried: Bool

  var settings: [String] {
    ["training.lanes=\(lanes)"] + (binding.convolution.map { ["engine.convolution=\($0.rawValue)"] } ?? [])
      + (variation.setting.map { [$0] } ?? [])
  }

  /// nil in rows that vary nothing else.
  var varied: String? { isVaried ? variation.setting ?? variation.launcher : nil }
}

/// What `verify` found.
struct VerifyReport: Encodable {
  struct Run: Encodable {
    let ranks: Int
    let lanes: Int
    let instructionSet: String
    let convolution: String?
    let varied: String?
    let seconds: Double
    /// Whether all bits are those of the first run with these kernels.
    let equal: Bool
    let differing: [StepHashes.Quantity]
    let firstDifference: StepHashes.Difference?
    /// Of the first run with other kernels than the first of all.
    let errors: [Verification.RelativeError]?
    /// Whether it is the first run with its kernels.
    let isReference: Bool

    enum CodingKeys: String, CodingKey {
      case ranks, lanes, convolution, varied, seconds, equal, differing, errors
      case instructionSet = "instruction_set"
      case firstDifference = "first_difference"
      case isReference = "is_reference"
    }
  }

  private(set) var model = ""
  private(set) var blasKernel = ""
  private(set) var steps = 0
  let reduction: String
  private(set) var runs: [Run] = []
  private var quantities: [StepHashes.Quantity] = []

  /// Whether all runs with the same kernels have the same bits.
  var equal: Bool { runs.allSatisfy(\.equal) }

  private enum Key: String, CodingKey {
    case model, steps, reduction, runs, equal
    case blasKernel = "blas_kernel"
  }

  init(reduction: String) { self.reduction = reduction }

  /// A run, compared with the first of its binding.
  mutating func add(_ row: VerifyRow, _ hashes: StepHashes, seconds: Double, against first: StepHashes) {
    let differing = hashes.differingQuantities(from: first)
    add(
      row, hashes, seconds, StepHashes.Quantity.allCases.filter { differing.contains($0) },
      hashes.firstDifference(from: first), nil, isReference: false)
  }

  /// The first run of a binding; `errors` in comparison with the first of all.
  mutating func add(
    _ row: VerifyRow, _ hashes: StepHashes, seconds: Double, errors: [Verification.RelativeError]?
  ) {
    (model, blasKernel, steps) = (hashes.model, hashes.blasKernel, hashes.steps)
    quantities = StepHashes.Quantity.allCases.filter { hashes.has($0) }
    add(row, hashes, seconds, [], nil, errors, isReference: true)
  }

  private mutating func add(
    _ row: VerifyRow, _ hashes: StepHashes, _ seconds: Double, _ differing: [StepHashes.Quantity],
    _ difference: StepHashes.Difference?, _ errors: [Verification.RelativeError]?, isReference: Bool
  ) {
    runs.append(
      Run(
        ranks: row.ranks, lanes: row.lanes, instructionSet: hashes.instructionSet,
        convolution: row.binding.convolution?.rawValue, varied: row.varied, seconds: seconds,
        equal: difference == nil, differing: differing, firstDifference: difference, errors: errors,
        isReference: isReference))
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(model, forKey: .model)
    try container.encode(steps, forKey: .steps)
    try container.encode(reduction, forKey: .reduction)
    try container.encode(blasKernel, forKey: .blasKernel)
    try container.encode(runs, forKey: .runs)
    try container.encode(equal, forKey: .equal)
  }
}

extension VerifyReport {
  var text: String {
    let title = "\(model), \(steps) steps, \(reduction), OpenBLAS \(blasKernel)"
    let hasAlgorithms = runs.contains { $0.convolution != nil }
    let hasVariations = runs.contains { $0.varied != nil }
    let header =
      ["ranks", "lanes", "kernels"] + (hasAlgorithms ? ["convolution"] : []) + quantities.map(\.rawValue)
      + ["seconds"] + (hasVariations ? ["varied"] : [])
    let rows = runs.map { run in
      ["\(run.ranks)", "\(run.lanes)", run.instructionSet] + (hasAlgorithms ? [run.convolution ?? ""] : [])
        + quantities.map { cell(run, $0) } + [String(format: "%.1f", run.seconds)]
        + (hasVariations ? [run.varied ?? ""] : [])
    }
    return ([title, TextTable.text([header] + rows)] + distances + differences + [verdict]).joined(
      separator: "\n")
  }

  private func cell(_ run: Run, _ quantity: StepHashes.Quantity) -> String {
    if let errors = run.errors {
      let error = errors.filter { $0.quantity == quantity }.map(\.median).max() ?? 0
      return error == 0 ? "equal" : Self.figure(error)
    }
    return run.isReference ? "reference" : run.differing.contains(quantity) ? "DIFFER" : "equal"
  }

  /// Of each run with other kernels: the array that is farthest away, quantity by quantity.
  private var distances: [String] {
    runs.compactMap { run in
      guard let errors = run.errors else { return nil }
      let worst = quantities.compactMap { quantity in
        errors.filter { $0.quantity == quantity }.max { $0.largest < $1.largest }
      }
      let words = worst.map { "\(Self.figure($0.largest)) in the \($0.quantity.rawValue) of \($0.array)" }
      let kernels = run.instructionSet + (run.convolution.map { " \($0)" } ?? "")
      return "\(kernels): median errors above; the largest are \(words.joined(separator: ", "))"
    }
  }

  private static func figure(_ error: Double) -> String { String(format: "%.1e", error) }

  private var differences: [String] {
    runs.compactMap { run in
      run.firstDifference.map {
        "\(Self.count(run.ranks, "rank")) × \(Self.count(run.lanes, "lane"))"
          + (run.varied.map { ", \($0)" } ?? "")
          + ": step \($0.step) differs first, in the \($0.quantity.rawValue) of \($0.array)"
      }
    }
  }

  private static func count(_ number: Int, _ thing: String) -> String {
    "\(number) \(thing)\(number == 1 ? "" : "s")"
  }

  private var verdict: String {
    let references = runs.count(where: \.isReference)
    guard references < runs.count else {
      return runs.count == 1 ? "one job, and none to compare it with" : "relative errors of other kernels"
    }
    let whose = references > 1 ? " with the same kernels" : ""
    return equal ? "all bits\(whose) are equal" : "bits\(whose) differ"
  }
}
