import Training

/// What happens in a run, in words. People count epochs and steps from 1.
package enum RunText {
  /// The facts at the start, a line each.
  package static func lines(_ run: RunDescription) -> [String] {
    var lines = [
      "\(run.model): \(Figures.grouped(run.parameters)) parameters, "
        + "\(Figures.short(run.multiplyAdds)) multiply-adds an image, \(run.classes.count) classes",
      "images: \(Figures.grouped(run.trainingImages)) to train, \(Figures.grouped(run.validationImages)) to "
        + "validate, \(Figures.grouped(run.testImages)) to test",
      "\(run.epochs) epochs of \(run.stepsPerEpoch) steps; batch \(run.batch) in microbatches of \(run.microbatch)",
    ]
    // All ranks have the same instruction set and BLAS kernel, or the job would have been refused.
    let header = ["rank", "host", "cores", "lanes", "pinned", "kernels", "OpenBLAS"]
    let rows = run.places.map { place in
      [
        "\(place.rank)", place.host, Figures.ranges(place.cores), "\(place.lanes)",
        place.pinned ? "yes" : "no",
        run.instructionSet, run.blasKernel,
      ]
    }
    lines += TextTable.text([header] + rows).split(separator: "\n").map(String.init)
    lines += MemoryUse.table(run.memory).split(separator: "\n").map(String.init)
    lines.append("run directory \(run.directory)")
    if run.firstStep > 0 { lines.append("going on from step \(run.firstStep)") }
    return lines
  }

  package static func line(_ step: StepReport, epochs: Int) -> String {
    "epoch \(step.epoch + 1)/\(epochs) step \(step.stepInEpoch + 1)/\(step.stepsPerEpoch): "
      + "loss \(Figures.decimal(step.loss)), accuracy \(Figures.decimal(step.accuracy)), "
      + "\(Figures.speed(step.imagesPerSecond)) images/s"
  }

  package static func line(_ epoch: EpochReport) -> String {
    var text =
      "epoch \(epoch.epoch + 1)/\(epoch.epochs): loss \(Figures.decimal(epoch.trainingLoss)), "
      + "accuracy \(Figures.decimal(epoch.trainingAccuracy))"
    if let validation = epoch.validation {
      text += "; validation loss \(Figures.decimal(validation.loss)), "
      text += "accuracy \(Figures.decimal(validation.accuracy))\(epoch.isBest ? " (best)" : "")"
    }
    return text + "; \(Figures.speed(epoch.imagesPerSecond)) images/s, \(Figures.clock(epoch.seconds))"
  }

  /// `wait 1 %, compute 90 %, …` of the time of an epoch's steps.
  package static func line(_ division: TimeDivision) -> String {
    [
      ("wait", division.wait), ("compute", division.compute), ("reduce", division.reduce),
      ("update", division.update), ("gather", division.gather), ("check", division.check),
    ].map { name, share in
      "\(name) \((share * 1000).rounded() / 10) %"
    }.joined(separator: ", ")
  }

  package static func line(checkpoint path: String, step: Int, isBest: Bool) -> String {
    "checkpoint after step \(step)\(isBest ? ", the best so far" : ""): \(path)"
  }

  /// The end of a run: test accuracy, the table of classes, the confusion matrix, where the run lies.
  package static func lines(_ summary: RunSummary) -> [String] {
    var lines: [String] = []
    if let reason = summary.endedEarly { lines.append("ended early: \(reason)") }
    lines.append(
      "trained \(summary.epochs) epochs, \(Figures.grouped(summary.steps)) steps in "
        + "\(Figures.clock(summary.seconds)), \(Figures.speed(summary.imagesPerSecond)) images/s")
    if let best = summary.bestEpoch { lines.append("best epoch on the validation split: \(best + 1)") }
    if let test = summary.test {
      lines += ["", "test: \(test.summaryLine)", ""]
      lines += test.classTable.split(separator: "\n").map(String.init)
      lines += [""] + confusion(test, wholeMatrixIn: "metrics.jsonl") + [""]
    }
    lines.append("weights hash \(summary.weightsHash)")
    lines.append("saved in \(summary.directory)")
    return lines
  }

  /// The whole matrix, or the most frequent confusions where it would be wider than a screen; then `place`
  /// says where the whole matrix is.
  package static func confusion(_ report: ClassificationReport, wholeMatrixIn place: String) -> [String] {
    let matrix = report.confusionTable.split(separator: "\n").map(String.init)
    guard let header = matrix.first, header.count > 160 else { return matrix }
    let names = report.classes.map(\.name)
    let pairs = report.confusion.counts.enumerated().flatMap { truth, row in
      row.enumerated().compactMap { $0 == truth || $1 == 0 ? nil : (count: $1, truth: truth, taken: $0) }
    }
    let frequent = pairs.sorted { ($1.count, $0.truth, $0.taken) < ($0.count, $1.truth, $1.taken) }.prefix(15)
    guard !frequent.isEmpty else { return ["no image was taken for another class"] }
    let rows = frequent.map { [names[$0.truth], names[$0.taken], "\($0.count)"] }
    return ["the most frequent confusions (the whole matrix is in \(place)):"]
      + TextTable.text([["true", "predicted", "images"]] + rows).split(separator: "\n").map(String.init)
  }
}
