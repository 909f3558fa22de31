import Foundation

extension ClassificationReport {
  /// The figures of the whole split in a line.
  package var summaryLine: String {
    let area = macroAUC.map { ", macro AUC \(Self.decimal($0))" } ?? ""
    return "accuracy \(Self.decimal(accuracy)), balanced accuracy \(Self.decimal(balancedAccuracy)), "
      + "macro F1 \(Self.decimal(macroF1))\(area), loss \(Self.decimal(loss)) (\(images) images)"
  }

  /// A row for each class: images, precision, recall, F1, AUC.
  package var classTable: String {
    let header = ["class", "images", "precision", "recall", "F1", "AUC"]
    let rows = classes.map {
      [
        $0.name, String($0.images), Self.decimal($0.precision), Self.decimal($0.recall), Self.decimal($0.f1),
        $0.auc.map(Self.decimal) ?? "–",
      ]
    }
    let means = [
      "mean", String(images), Self.decimal(macroPrecision), Self.decimal(macroRecall), Self.decimal(macroF1),
      macroAUC.map(Self.decimal) ?? "–",
    ]
    return TextTable.text([header] + rows + [means])
  }

  /// The confusion matrix: a row for each true class, a column for each prediction.
  package var confusionTable: String {
    let header = ["true \\ predicted"] + classes.map(\.name)
    let rows = zip(classes, confusion.counts).map { [$0.name] + $1.map(String.init) }
    return TextTable.text([header] + rows)
  }

  static func decimal(_ value: Double) -> String { String(format: "%.4f", value) }
}
