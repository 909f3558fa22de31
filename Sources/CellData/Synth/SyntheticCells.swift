import Tensors

/// Cells drawn on the spot, each a function of (seed, index) alone: the same bits in any order, on any
/// thread, on any processor.
///
/// An image shows one cell of its kind in the middle of a stained smear: red cells about it, platelets
/// and other white cells at the side, the slide's own stain and light, a lens somewhat out of focus and a
/// noisy sensor. Kinds differ as haematologists tell them apart (`CellRecipe`), and run into each other
/// by as much as `SynthDifficulty` says.
package struct SyntheticCells: Sendable {
  package static let smallestSize = 16

  package let seed: UInt64
  /// Height and width of an image.
  package let size: Int
  /// 1 for grey, 3 for RGB.
  package let channels: Int
  /// The kinds that are drawn, in byte order of their names.
  package let kinds: [CellKind]
  package let difficulty: SynthDifficulty

  package init(
    seed: UInt64, size: Int, channels: Int, kinds: Int, difficulty: SynthDifficulty = SynthDifficulty()
  ) {
    precondition(
      size >= Self.smallestSize, "synthetic cells expect at least \(Self.smallestSize) pixels, got \(size)")
    precondition(channels == 1 || channels == 3, "synthetic cells are grey (1) or RGB (3), not \(channels)")
    precondition(
      (2...CellKind.maximumCount).contains(kinds),
      "synthetic cells are of 2 ... \(CellKind.maximumCount) kinds, not \(kinds)")
    self.seed = seed
    self.size = size
    self.channels = channels
    self.kinds = CellKind.first(kinds)
    self.difficulty = difficulty
  }

  package var kindNames: [String] { kinds.map(\.rawValue) }

  /// The place in `kinds` of the kind of cell `index`: kinds take turns.
  package func label(_ index: Int) -> Int { index % kinds.count }

  package func image(_ index: Int) -> PixelImage {
    var draws = Draws(stream(index, .scene))
    let noise = ValueNoise(stream(index, .texture))
    let stains = Stains(difficulty, &draws)
    let field = difficulty.field * (1 + difficulty.fieldVariation * draws.uniform(in: -1...1))
    var canvas = Canvas(size: size, field: field)
    let camera = Camera(stains, pixel: canvas.pixel, difficulty, &draws)
    let traits = traits(of: kinds[label(index)], &draws)
    let centre = draws.pointInDisc() * difficulty.offCentre

    RedCells(stains: stains, noise: noise, difficulty: difficulty).paint(
      on: &canvas, around: centre, radius: traits[.radius], &draws)
    paintNeighbours(on: &canvas, around: centre, radius: traits[.radius], stains, noise, &draws)
    CellPainter(traits, at: centre, stains: stains, noise: noise, &draws).paint(on: &canvas, &draws)
    return camera.image(of: canvas, channels: channels, sensor: stream(index, .sensor))
  }

  /// A cell of a kind, somewhat like another kind.
  private func traits(of kind: CellKind, _ draws: inout Draws) -> CellTraits {
    let own = CellTraits(kind, widened: difficulty.widening, &draws)
    let other = kinds[draws.integer(below: kinds.count)]
    let lean = draws.uniform()
    return own.leaning(
      difficulty.ambiguity * lean * lean * lean,
      towards: CellTraits(other, widened: difficulty.widening, &draws))
  }

  private func paintNeighbours(
    on canvas: inout Canvas, around centre: SIMD2<Float>, radius: Float, _ stains: Stains,
    _ noise: ValueNoise, _ draws: inout Draws
  ) {
    func paint(_ kind: CellKind, at place: SIMD2<Float>) {
      let traits = CellTraits(kind, widened: 1, &draws)
      CellPainter(traits, at: place, stains: stains, noise: noise, &draws).paint(on: &canvas, &draws)
    }
    if draws.happens(difficulty.plateletNearby) {
      let away = radius + draws.uniform(in: 3...7)
      paint(.platelet, at: centre + draws.direction() * away)
    }
    if draws.happens(difficulty.whiteCellNearby) {
      let away = max(radius + 6, canvas.pixel * Float(size) / 2 + draws.uniform(in: 0...4))
      let kind = CellKind.allCases[draws.integer(below: CellKind.allCases.count)]
      paint(kind, at: centre + draws.direction() * away)
    }
  }

  /// The independent sources of randomness of an image.
  private enum Source: Int { case scene, texture, sensor }

  private func stream(_ index: Int, _ source: Source) -> RandomStream {
    RandomStream(seed: seed, purpose: .synthesis, epoch: source.rawValue, position: index)
  }
}
