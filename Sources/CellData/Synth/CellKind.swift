/// The kinds of cells that can be drawn, as they lie in a smear of blood after a Romanowsky stain.
package enum CellKind: String, Sendable, CaseIterable {
  /// Small, with a round dense nucleus that leaves a narrow blue rim.
  case lymphocyte
  /// Pale pink, with a nucleus of three to five lobes.
  case neutrophil
  /// Full of large red granules, with two lobes.
  case eosinophil
  /// The largest, grey-blue, with a kidney-shaped lacy nucleus and vacuoles.
  case monocyte
  /// Dark coarse granules that hide the nucleus.
  case basophil
  /// Small, with a very dense round nucleus in a wide grey rim that begins to redden.
  case erythroblast
  /// A fragment without a nucleus, with a few dark granules.
  case platelet
  /// A large cell of the marrow: a pale nucleus with a nucleolus, in blue with fine dark granules.
  case immatureGranulocyte = "immature_granulocyte"

  package static let maximumCount = allCases.count

  /// The first `count` kinds of the list above, in byte order of their names: the order in which a
  /// folder of their images lists its classes.
  static func first(_ count: Int) -> [CellKind] {
    allCases.prefix(count).sorted { $0.rawValue.utf8.lexicographicallyPrecedes($1.rawValue.utf8) }
  }
}
