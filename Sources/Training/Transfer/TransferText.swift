import Models

extension TrainingJob {
  /// What is trained now, for the log.
  var trainedText: String {
    let layout = network.layout
    let frozen = stages.current.network.frozen
    guard !frozen.isEmpty else { return "all \(layout.parameterCount) parameters are trained" }
    let first = network.nodes.first(where: \.isTrained)?.name ?? ""
    let norms = config.transfer.batchNorm == .frozen ? "" : "; frozen batch norms gather statistics"
    return
      "\(layout.trainedCount) of \(layout.parameterCount) parameters are trained, backward ends at \(first)\(norms)"
  }

  /// What is odd about what is frozen.
  var transferWarnings: [String] {
    guard !network.frozen.isEmpty, config.model.weights.isEmpty else { return [] }
    return ["transfer.freeze without model.weights: the frozen layers keep random values"]
  }
}
