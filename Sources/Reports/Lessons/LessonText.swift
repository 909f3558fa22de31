import Foundation

/// Numbers in the text of a lesson.
enum LessonText {
  /// Rows with columns of equal width; the first is the head.
  static func table(_ rows: [[String]]) -> String {
    let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      "  "
        + zip(row, widths).enumerated().map { column, cell in
          let blanks = String(repeating: " ", count: cell.1 - cell.0.count)
          return column == 0 ? cell.0 + blanks : blanks + cell.0
        }.joined(separator: "  ")
    }.joined(separator: "\n")
  }

  static func number(_ value: Double, _ digits: Int = 4) -> String { HeatMap.text(value, digits: digits) }

  static func scientific(_ value: Double) -> String { String(format: "%.2e", value) }

  static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(values.count, 1)) }

  static func variance(_ values: [Double]) -> Double {
    let middle = mean(values)
    return mean(values.map { ($0 - middle) * ($0 - middle) })
  }

  /// ‖a − b‖ / ‖b‖.
  static func relativeDistance(_ a: [Double], _ b: [Double]) -> Double {
    let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let size = b.reduce(0) { $0 + $1 * $1 }
    return (difference / max(size, .leastNormalMagnitude)).squareRoot()
  }

  /// A histogram as densities.
  static func histogram(_ values: [Double], from low: Double, to high: Double, bins: Int = 40) -> [Point] {
    var counts = Array(repeating: 0.0, count: bins)
    let width = (high - low) / Double(bins)
    for value in values where value >= low && value < high {
      counts[min(bins - 1, Int((value - low) / width))] += 1
    }
    let scale = 1 / (Double(max(values.count, 1)) * width)
    return (0...bins).map { Point(low + Double($0) * width, counts[min($0, bins - 1)] * scale) }
  }
}
