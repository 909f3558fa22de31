import Foundation
import Training

// A report in words and as a table for other programs.
extension ScaleReport {
  package var text: String {
    var text =
      "\(plan.model) 3×\(plan.size)×\(plan.size), microbatches of \(plan.microbatch), \(isa), \(plan.cpu), "
      + "\(plan.cores) cores a node; medians of \(plan.rounds) rounds (least to greatest)"
    for scaling in ScalePlan.Scaling.allCases {
      let rows = rows.filter { $0.point.scaling == scaling }
      guard let first = rows.first else { continue }
      let what =
        scaling == .weak
        ? "\(first.point.batch / first.workers) images a lane in a step"
        : "\(first.point.batch) images in a step, over all lanes"
      text += "\n\n\(scaling.rawValue) scaling: \(what)\n\n" + Self.table(rows)
      text += "\n\n" + Self.divisions(rows)
    }
    if rows.contains(where: \.oversubscribed) {
      text += "\n\n* more lanes than cores: what oversubscription costs, not how the program scales"
    }
    return text
  }

  private static func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }

  private static func percent(_ spread: Spread?) -> String {
    guard let spread else { return "-" }
    return String(
      format: "%.1f %% (%.1f–%.1f)", spread.median * 100, spread.least * 100, spread.greatest * 100)
  }

  private static func table(_ rows: [Row]) -> String {
    let priced = rows.contains { $0.pricePerMillionImages != nil }
    let header = [
      "ranks × lanes", "images/s", "step ms", "of one", "of independent", "bus GB/s", "core-ms/image",
    ]
    return TextTable.text(
      [header + (priced ? ["price of 1e6"] : [])]
        + rows.map { row in
          let speed = row.imagesPerSecond
          return [
            row.point.text + (row.oversubscribed ? " *" : ""),
            "\(Figures.speed(speed.median)) (\(Figures.speed(speed.least))–\(Figures.speed(speed.greatest)))",
            String(format: "%.1f", row.stepSeconds.median * 1e3), percent(row.efficiency),
            percent(row.efficiencyOfIndependent),
            row.busBandwidth.map { String(format: "%.2f", $0.median * 1e-9) } ?? "-",
            String(format: "%.2f", row.coreSecondsPerImage * 1e3),
          ] + (priced ? [row.pricePerMillionImages.map { String(format: "%.4g", $0) } ?? "-"] : [])
        })
  }

  private static func divisions(_ rows: [Row]) -> String {
    TextTable.text(
      [["of the step's time", "compute", "reduce", "update", "gather", "check", "sent MB"]]
        + rows.map { row in
          let shares = row.division
          return [row.point.text]
            + [shares.compute, shares.reduce, shares.update, shares.gather, shares.check].map(percent)
            + [String(format: "%.1f", Double(row.bytesSent) / 1e6)]
        })
  }

  /// A line for each point; of what has a spread the median, the least and the greatest.
  package var csv: String {
    var lines = [
      "scaling,ranks,lanes,workers,nodes,batch,oversubscribed,images_per_second,images_per_second_least,"
        + "images_per_second_greatest,step_seconds,efficiency,efficiency_least,efficiency_greatest,"
        + "efficiency_of_independent,efficiency_of_independent_least,efficiency_of_independent_greatest,"
        + "compute,reduce,update,gather,check,bus_bytes_per_second,bytes_sent,core_seconds_per_image,"
        + "price_per_million_images"
    ]
    func three(_ spread: Spread?) -> [String] {
      spread.map { ["\($0.median)", "\($0.least)", "\($0.greatest)"] } ?? ["", "", ""]
    }
    for row in rows {
      let (point, shares) = (row.point, row.division)
      var cells = [
        point.scaling.rawValue, "\(point.ranks)", "\(point.lanes)", "\(row.workers)", "\(row.nodes)",
        "\(point.batch)", "\(row.oversubscribed)",
      ]
      cells += three(row.imagesPerSecond) + ["\(row.stepSeconds.median)"] + three(row.efficiency)
      cells += three(row.efficiencyOfIndependent)
      cells += [shares.compute, shares.reduce, shares.update, shares.gather, shares.check].map { "\($0)" }
      cells += [
        row.busBandwidth.map { "\($0.median)" } ?? "", "\(row.bytesSent)", "\(row.coreSecondsPerImage)",
      ]
      cells.append(row.pricePerMillionImages.map { "\($0)" } ?? "")
      lines.append(cells.joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// This report beside an earlier one, point by point; a change counts where the spreads don't overlap.
  package func comparison(with earlier: ScaleReport) -> String {
    let rows = rows.compactMap { row -> [String]? in
      guard let old = earlier.rows.first(where: { $0.point == row.point }) else { return nil }
      let ratio = row.imagesPerSecond.median / old.imagesPerSecond.median
      let differs = !row.imagesPerSecond.overlaps(old.imagesPerSecond)
      return [
        "\(row.point.scaling.rawValue) \(row.point.text)", Figures.speed(old.imagesPerSecond.median),
        Figures.speed(row.imagesPerSecond.median), String(format: "%.3f", ratio),
        differs ? (ratio > 1 ? "faster" : "slower") : "within the spread",
        Self.percent(old.efficiency.median),
        Self.percent(row.efficiency.median),
      ]
    }
    if rows.isEmpty { return "the earlier report has none of these points" }
    return TextTable.text(
      [["images/s", "earlier", "now", "ratio", "", "efficiency earlier", "now"]] + rows)
  }
}
