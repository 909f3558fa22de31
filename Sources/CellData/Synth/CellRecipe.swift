/// The range of each trait of a kind; a trait that is not listed is 0. Sizes follow haematology's usual
/// figures for stained smears (lymphocyte 7–10 µm across, neutrophil 10–14, monocyte 13–17, platelet 2–4).
struct CellRecipe {
  /// In the order of `CellTrait`.
  let ranges: [ClosedRange<Float>]

  private init(_ ranges: [CellTrait: ClosedRange<Float>]) {
    self.ranges = CellTrait.allCases.map { ranges[$0] ?? 0...0 }
  }

  static func of(_ kind: CellKind) -> CellRecipe {
    switch kind {
    case .lymphocyte: lymphocyte
    case .neutrophil: neutrophil
    case .eosinophil: eosinophil
    case .monocyte: monocyte
    case .basophil: basophil
    case .erythroblast: erythroblast
    case .platelet: platelet
    case .immatureGranulocyte: immatureGranulocyte
    }
  }

  private static let lymphocyte = CellRecipe([
    .radius: 3.7...5.3, .elongation: 1...1.2, .wobble: 0.1...0.6,
    .lobes: 0.8...1.2, .lobeRadius: 0.74...0.92, .eccentricity: 0...0.1,
    .chromatin: 1.45...2, .clumping: 0.15...0.4, .clumpSize: 0.9...1.5,
    .basophilia: 0.35...0.65, .grain: 0.05...0.2, .membrane: 0.1...0.4,
    .granules: -4...4, .granuleRadius: 0.2...0.35, .granulePurple: 0.3...0.8, .granulesOver: 0...0.3,
  ])

  private static let neutrophil = CellRecipe([
    .radius: 5.1...6.7, .elongation: 1...1.15, .wobble: 0.1...0.7,
    .lobes: 2.6...5.4, .lobeRadius: 0.25...0.34, .arcRadius: 0.38...0.55, .arcStep: 0.14...0.21,
    .bridge: 0.08...0.24, .eccentricity: 0...0.15,
    .chromatin: 1.5...2, .clumping: 0.15...0.35, .clumpSize: 0.7...1.2,
    .basophilia: 0...0.12, .acidophilia: 0.14...0.4, .grain: 0.15...0.45, .membrane: 0.1...0.4,
    .granules: 0...50, .granuleRadius: 0.18...0.34, .granulePurple: 0.05...0.35, .granuleEosin: 0.1...0.4,
    .granulesOver: 0...0.3,
  ])

  private static let eosinophil = CellRecipe([
    .radius: 5.3...7, .elongation: 1...1.15, .wobble: 0.1...0.7,
    .lobes: 1.6...3.3, .lobeRadius: 0.31...0.42, .arcRadius: 0.4...0.55, .arcStep: 0.2...0.36,
    .bridge: 0.08...0.24, .eccentricity: 0...0.2,
    .chromatin: 1.4...1.9, .clumping: 0.15...0.35, .clumpSize: 0.7...1.2,
    .basophilia: 0...0.12, .acidophilia: 0.25...0.55, .grain: 0.15...0.4, .membrane: 0.1...0.3,
    .granules: 45...110, .granuleRadius: 0.32...0.56, .granulePurple: 0...0.12, .granuleEosin: 0.5...0.95,
    .granulesOver: 0.05...0.25,
  ])

  private static let monocyte = CellRecipe([
    .radius: 6...8, .elongation: 1...1.35, .wobble: 0.4...1.3,
    .lobes: 2.4...4.4, .lobeRadius: 0.34...0.5, .arcRadius: 0.24...0.42, .arcStep: 0.11...0.19,
    .bridge: 0.15...0.4, .eccentricity: 0...0.2,
    .chromatin: 1.05...1.6, .clumping: 0.15...0.35, .clumpSize: 0.6...1,
    .basophilia: 0.28...0.55, .acidophilia: 0...0.12, .grain: 0.1...0.35, .membrane: 0.05...0.3,
    .vacuoles: -3...7,
    .granules: -10...20, .granuleRadius: 0.18...0.3, .granulePurple: 0.1...0.4, .granulesOver: 0...0.3,
  ])

  private static let basophil = CellRecipe([
    .radius: 4.5...6, .elongation: 1...1.2, .wobble: 0.2...0.8,
    .lobes: 1.4...3.4, .lobeRadius: 0.4...0.6, .arcRadius: 0.2...0.4, .arcStep: 0.2...0.36,
    .bridge: 0.15...0.4, .eccentricity: 0...0.15,
    .chromatin: 1...1.6, .clumping: 0.1...0.35, .clumpSize: 0.7...1.3,
    .basophilia: 0.1...0.35, .acidophilia: 0.05...0.25, .grain: 0.1...0.4, .membrane: 0.05...0.3,
    .granules: 18...75, .granuleRadius: 0.3...0.62, .granulePurple: 1...1.9, .granulesOver: 0.45...0.9,
  ])

  private static let erythroblast = CellRecipe([
    .radius: 3.6...5.4, .elongation: 1...1.2, .wobble: 0.1...0.7,
    .lobes: 0.7...1.3, .lobeRadius: 0.46...0.7, .eccentricity: 0...0.28,
    .chromatin: 1.65...2.3, .clumping: 0.15...0.5, .clumpSize: 1...1.7,
    .basophilia: 0.15...0.5, .haemoglobin: 0.15...0.65, .grain: 0.05...0.2, .membrane: 0.05...0.3,
  ])

  private static let platelet = CellRecipe([
    .radius: 1.3...2.6, .elongation: 1...1.5, .wobble: 0.2...0.9, .clumpSize: 1...1,
    .basophilia: 0.2...0.45, .acidophilia: 0...0.15, .grain: 0.2...0.6, .membrane: 0...0.2,
    .granules: 4...16, .granuleRadius: 0.25...0.45, .granulePurple: 0.6...1.4, .granulesOver: 0...1,
  ])

  private static let immatureGranulocyte = CellRecipe([
    .radius: 5.8...8, .elongation: 1...1.2, .wobble: 0.2...0.9,
    .lobes: 1...3, .lobeRadius: 0.48...0.68, .arcRadius: 0.1...0.3, .arcStep: 0.12...0.22,
    .bridge: 0.2...0.5, .eccentricity: 0...0.25,
    .chromatin: 0.85...1.35, .clumping: 0.06...0.22, .clumpSize: 0.8...1.4, .nucleolus: 0...0.5,
    .basophilia: 0.35...0.75, .acidophilia: 0...0.15, .grain: 0.05...0.25, .membrane: 0.05...0.3,
    .granules: 5...60, .granuleRadius: 0.2...0.36, .granulePurple: 0.5...1.2, .granulesOver: 0.2...0.5,
  ])
}
