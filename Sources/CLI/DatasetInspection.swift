import CellData
import Foundation
import Reports
import Training

/// What a data set is: classes, splits, and what the headers of its files say.
struct DatasetInspection: Inspection {
  struct Class: Encodable {
    let name: String
    let train: Int
    let val: Int
    let test: Int
  }

  struct Format: Encodable {
    let format: String
    let channels: Int
    let bitDepth: Int
    let images: Int

    enum CodingKeys: String, CodingKey {
      case format, channels, images
      case bitDepth = "bit_depth"
    }
  }

  let path: String
  let images: Int
  let classes: [Class]
  /// Shortest and longest, in pixels; nil where no file can be read.
  let width: [Int]?
  let height: [Int]?
  /// The most frequent first.
  let formats: [Format]
  let multiPage: Int
  /// What can't be used, and why.
  let bad: [String]
  let ignoredFiles: Int
  let columns: [String]

  enum CodingKeys: String, CodingKey {
    case path, images, classes, width, height, formats
    case multiPage = "multi_page"
    case bad
    case ignoredFiles = "ignored_files"
    case columns
  }

  init(_ path: String) throws {
    // Whatever the data doesn't split is in train here: how training splits it is the configuration's.
    let dataset = try Dataset.load(
      path: path, rule: SplitRule(validation: 0, test: 0), forTraining: false)
    let survey = DatasetSurvey(dataset, threads: ProcessInfo.processInfo.activeProcessorCount)
    let (train, val, test) = (dataset.counts(in: .train), dataset.counts(in: .val), dataset.counts(in: .test))
    self.path = path
    images = dataset.samples.count
    classes = dataset.classes.indices.map {
      Class(name: dataset.classes[$0], train: train[$0], val: val[$0], test: test[$0])
    }
    width = survey.extents.map { [$0.width.lowerBound, $0.width.upperBound] }
    height = survey.extents.map { [$0.height.lowerBound, $0.height.upperBound] }
    formats = survey.kinds.map { kind, images in
      Format(
        format: kind.format.rawValue, channels: kind.channels, bitDepth: kind.bitDepth, images: images)
    }.sorted {
      ($1.images, $0.format, $0.channels, $0.bitDepth) < ($0.images, $1.format, $1.channels, $1.bitDepth)
    }
    multiPage = survey.multiPage
    bad = survey.bad.map { "\($0.error)" }
    (ignoredFiles, columns) = (dataset.ignoredFiles, dataset.columns)
  }

  private var hasSplits: Bool { classes.contains { $0.val > 0 || $0.test > 0 } }

  var text: String {
    var rows = classes.map { ["\($0.name)", "\($0.train)", "\($0.val)", "\($0.test)"] }
    func total(_ count: (Class) -> Int) -> String { "\(classes.reduce(0) { $0 + count($1) })" }
    rows.append(["all", total(\.train), total(\.val), total(\.test)])
    var header = ["class", "train", "val", "test"]
    if !hasSplits {
      header = ["class", "images"]
      rows = rows.map { Array($0.prefix(2)) }
    }
    var lines = [
      "\(path): \(Figures.grouped(images)) images of \(classes.count) classes", "",
      TextTable.text([header] + rows), "",
    ]
    if !hasSplits { lines.append("no val and test images: training splits by data.split and the seed") }
    if let width, let height {
      lines.append("sizes: \(Self.range(width)) × \(Self.range(height)) pixels (width × height)")
    }
    for format in formats {
      let name = ImageInspection.name(channels: format.channels, bitDepth: format.bitDepth)
      lines.append("\(Figures.grouped(format.images)) × \(format.format), \(name)")
    }
    if multiPage > 0 { lines.append("\(multiPage) files have several pages; only the first is used") }
    if ignoredFiles > 0 { lines.append("\(ignoredFiles) other files in the class folders are ignored") }
    if !columns.isEmpty { lines.append("other columns of the manifest: \(columns.joined(separator: ", "))") }
    if !bad.isEmpty {
      lines.append("\(bad.count) files can't be used:")
      lines += bad.prefix(20).map { "  \($0)" }
      if bad.count > 20 { lines.append("  and \(bad.count - 20) more (--json lists all)") }
    }
    return lines.joined(separator: "\n")
  }

  private static func range(_ ends: [Int]) -> String {
    ends[0] == ends[1] ? "\(ends[0])" : "\(ends[0])–\(ends[1])"
  }
}
