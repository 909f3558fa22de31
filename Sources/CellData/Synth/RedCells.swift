/// The red cells about a cell: discs that are thinner in the middle, lying beside or over one another.
struct RedCells {
  private let stains: Stains
  private let noise: ValueNoise
  private let difficulty: SynthDifficulty

  init(stains: Stains, noise: ValueNoise, difficulty: SynthDifficulty) {
    (self.stains, self.noise, self.difficulty) = (stains, noise, difficulty)
  }

  /// Lays red cells on the places of a loose lattice that lie farther than `radius` from `centre`.
  func paint(
    on canvas: inout Canvas, around centre: SIMD2<Float>, radius: Float, _ draws: inout Draws
  ) {
    let density = draws.uniform(in: 0.15...max(0.15, difficulty.redCells))
    let spacing: Float = 7.6
    let origin = SIMD2(draws.uniform(), draws.uniform()) * spacing
    let turn = draws.direction()
    // What the slide's red cells have in common.
    let pallor = draws.uniform(in: 0.2...0.9)
    let strength = draws.uniform(in: 0.65...1.2)
    let side = Float(canvas.size) * canvas.pixel
    let reach = Int((0.75 * side / spacing).rounded(.up)) + 1
    for row in -reach...reach {
      for column in -reach...reach {
        let lattice = SIMD2(Float(column) + (row % 2 == 0 ? 0.5 : 0), 0.87 * Float(row)) * spacing + origin
        let place =
          SIMD2(lattice.x * turn.x - lattice.y * turn.y, lattice.x * turn.y + lattice.y * turn.x)
          + SIMD2(draws.uniform(in: -1...1), draws.uniform(in: -1...1)) * 1.6
        let size = draws.uniform(in: 3.2...4.2)
        let present = draws.happens(density)
        let outside = max(abs(place.x), abs(place.y)) > side / 2 + size
        let apart = SignedDistance.length(place - centre) > radius + 0.85 * size
        guard present, apart, !outside else { continue }
        paintOne(at: place, radius: size, pallor: pallor, strength: strength, on: &canvas, &draws)
      }
    }
  }

  private func paintOne(
    at centre: SIMD2<Float>, radius: Float, pallor: Float, strength: Float, on canvas: inout Canvas,
    _ draws: inout Draws
  ) {
    let axis = draws.direction()
    let stretch = 1 + 0.2 * draws.uniform() * draws.uniform()
    let axes = SIMD2(stretch, 1 / stretch) * radius
    let hollow = draws.uniform(in: 0.25...0.45) * radius
    let texture = SIMD2(draws.uniform(), draws.uniform()) * 16
    let pixel = canvas.pixel
    canvas.lay(around: centre, reach: 1.25 * radius + pixel) { density, at in
      var p = at - centre
      let slow = noise.values(at: p / 2.6 + texture)
      p += 0.35 * SIMD2(slow.x, slow.y)
      let outline = SignedDistance.ellipse(
        SIMD2(p.x * axis.x + p.y * axis.y, p.y * axis.x - p.x * axis.y), axes: axes)
      guard outline < pixel else { return }
      let thickness = 1 - pallor * SignedDistance.step(-hollow, -0.85 * radius, outline)
      let coverage = min(max(0.5 - outline / pixel, 0), 1)
      // Red cells let light through: where two overlap their densities add up.
      density += stains.haemoglobin * (strength * (0.6 + 0.1 * slow.z) * thickness * coverage)
    }
  }
}
