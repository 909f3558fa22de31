/// How hard synthetic cells are to tell apart: every dial that is not about one kind. The defaults are
/// such that the default network and recipe classify 90 to 99 % of unseen cells rightly.
package struct SynthDifficulty: Sendable, Equatable {
  /// Factor on the width of every range of every kind (`CellRecipe`): larger, and kinds overlap more.
  package var widening: Float = 1
  /// Each cell leans towards another kind by a part drawn from 0 ..< ambiguity, mostly a small one. At
  /// 0.5 the worst lie in the middle between two kinds, where nothing tells them apart.
  package var ambiguity: Float = 0.35

  /// Side of what the image shows, in micrometres, and the part by which it varies.
  package var field: Float = 23
  package var fieldVariation: Float = 0.12
  /// How far the cell lies off the middle of the image, in micrometres.
  package var offCentre: Float = 1.6

  /// Share of the places around the cell that a red cell takes, at most.
  package var redCells: Float = 0.9
  /// The chance of a platelet nearby, and of a white cell of any kind that looks in from the side.
  package var plateletNearby: Float = 0.25
  package var whiteCellNearby: Float = 0.12

  /// The part by which the strength of each stain, and each colour of it, varies between slides.
  package var stainVariation: Float = 0.22
  package var hueVariation: Float = 0.1
  /// The part by which the lamp varies in strength, and by which it is uneven across the image.
  package var lightVariation: Float = 0.07

  /// Deviation of the blur at worst, in micrometres.
  package var blur: Float = 0.42
  /// Deviation of the sensor's noise at worst, in levels of 255.
  package var noise: Float = 7

  package init() {}
}
