/// What makes a cell look as it does. A kind gives a range for each trait, a cell has a value for each.
enum CellTrait: Int, CaseIterable {
  // The outline, in micrometres.
  case radius
  /// Long axis over short axis.
  case elongation
  /// How far the outline strays from an ellipse, in micrometres.
  case wobble

  // The nucleus: beads on an arc that melt into each other. One bead is a round nucleus, a few that
  // overlap are a kidney, a few that hardly touch are lobes. Lengths are in radii of the cell.
  /// The number of beads, rounded; none, and there is no nucleus.
  case lobes
  case lobeRadius
  /// The radius of the arc that the beads lie on.
  case arcRadius
  /// The angle between neighbouring beads, in turns.
  case arcStep
  /// The width over which beads melt together.
  case bridge
  /// How far the nucleus lies off the middle of the cell.
  case eccentricity

  // Chromatin.
  /// Optical density of the nucleus, in units of the purple stain.
  case chromatin
  /// The part of the density by which it varies.
  case clumping
  /// The distance over which it varies, in micrometres.
  case clumpSize
  /// The part of the density that a nucleolus lacks.
  case nucleolus

  // Cytoplasm: densities in units of the stains.
  case basophilia
  case acidophilia
  case haemoglobin
  /// The part of the density by which it varies.
  case grain
  /// Extra density along the membrane, in units of the density of the cytoplasm.
  case membrane
  /// The number of clear bubbles, rounded.
  case vacuoles

  // Granules.
  /// Their number, rounded.
  case granules
  /// In micrometres.
  case granuleRadius
  case granulePurple
  case granuleEosin
  /// The share that lies over the nucleus.
  case granulesOver
}

/// A value for each trait.
struct CellTraits {
  private var values = [Float](repeating: 0, count: CellTrait.allCases.count)

  subscript(trait: CellTrait) -> Float {
    get { values[trait.rawValue] }
    set { values[trait.rawValue] = newValue }
  }

  /// A trait that counts something.
  func count(_ trait: CellTrait) -> Int { Int((self[trait] + 0.5).rounded(.down)) }

  /// Draws a cell of a kind, each trait from a triangle over its range, widened about its middle.
  init(_ kind: CellKind, widened: Float, _ draws: inout Draws) {
    for (place, range) in CellRecipe.of(kind).ranges.enumerated() {
      let middle = (range.lowerBound + range.upperBound) / 2
      let half = (range.upperBound - range.lowerBound) / 2 * widened
      values[place] = max(0, middle + half * (draws.uniform() + draws.uniform() - 1))
    }
  }

  /// (1 − part) · self + part · other, trait by trait.
  func leaning(_ part: Float, towards other: CellTraits) -> CellTraits {
    var result = self
    for place in values.indices { result.values[place] += part * (other.values[place] - values[place]) }
    return result
  }
}
