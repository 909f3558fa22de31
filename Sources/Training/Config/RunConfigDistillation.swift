/// A trained run whose class scores are learnt beside the labels (Hinton et al. 2015, arXiv:1503.02531).
package struct DistillationConfig: Codable, Sendable, Equatable {
  /// A run directory; empty for no teacher.
  package var teacher = ""
  package var temperature = 4.0
  /// The teacher's share of the loss.
  package var weight = 0.5
  /// The hash of the teacher's weights. Found when a run begins, where there is nothing.
  package var weightsHash = ""

  package init() {}

  enum CodingKeys: String, CodingKey {
    case teacher, temperature, weight
    case weightsHash = "weights_hash"
  }
}
