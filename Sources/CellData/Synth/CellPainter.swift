import Tensors

/// One cell at its place on the slide: what its traits leave open is drawn when it is made.
struct CellPainter {
  let traits: CellTraits
  let centre: SIMD2<Float>
  private let stains: Stains
  private let noise: ValueNoise
  /// The direction of the long axis.
  private let axis: SIMD2<Float>
  private let axes: SIMD2<Float>
  /// Where this cell reads the noise.
  private let texture: SIMD2<Float>
  /// Middle and radius of each bead of the nucleus.
  private let beads: [(centre: SIMD2<Float>, radius: Float)]

  init(
    _ traits: CellTraits, at centre: SIMD2<Float>, stains: Stains, noise: ValueNoise, _ draws: inout Draws
  ) {
    self.traits = traits
    self.centre = centre
    self.stains = stains
    self.noise = noise
    axis = draws.direction()
    let stretch = max(traits[.elongation], 1).squareRoot()
    axes = SIMD2(stretch, 1 / stretch) * traits[.radius]
    texture = SIMD2(draws.uniform(), draws.uniform()) * 16
    beads = Self.beads(traits, &draws)
  }

  /// The beads of the nucleus, about the middle of the cell.
  private static func beads(_ traits: CellTraits, _ draws: inout Draws) -> [(
    centre: SIMD2<Float>, radius: Float
  )] {
    let radius = traits[.radius]
    let count = traits.count(.lobes)
    let middle = draws.direction() * traits[.eccentricity] * radius
    let start = draws.uniform()
    let arc = count > 1 ? traits[.arcRadius] * radius : 0
    // The opening of the arc lies on the far side, so the beads' mean is moved back to the middle.
    var places = (0..<count).map { bead in
      Draws.direction(turns: start + traits[.arcStep] * (Float(bead) + draws.uniform(in: -0.2...0.2)))
        * arc * draws.uniform(in: 0.85...1.15)
    }
    let mean = places.reduce(.zero, +) / Float(max(count, 1))
    for bead in places.indices { places[bead] += middle - 0.6 * mean }
    return places.map { ($0, traits[.lobeRadius] * radius * draws.uniform(in: 0.88...1.12)) }
  }

  func paint(on canvas: inout Canvas, _ draws: inout Draws) {
    paintCytoplasm(on: &canvas)
    for _ in 0..<traits.count(.vacuoles) {
      canvas.disc(
        at: place(draws.pointInDisc() * 0.9), radius: draws.uniform(in: 0.3...0.75), density: .zero,
        opacity: draws.uniform(in: 0.4...0.9))
    }
    let granules = traits.count(.granules)
    let over = Int(Float(granules) * min(traits[.granulesOver], 1))
    paintGranules(granules - over, on: &canvas, &draws)
    if !beads.isEmpty { paintNucleus(on: &canvas) }
    paintGranules(over, on: &canvas, &draws)
  }

  /// A point of the disc of radius 1 moved to where it lies in the cell.
  private func place(_ point: SIMD2<Float>) -> SIMD2<Float> {
    let along = point * axes
    return centre + SIMD2(along.x * axis.x - along.y * axis.y, along.x * axis.y + along.y * axis.x)
  }

  /// How far the slow noise carries a point off, in micrometres.
  private func strayed(_ place: SIMD2<Float>) -> SIMD2<Float> {
    let slow = noise.values(at: place / (0.8 * traits[.radius]) + texture)
    return traits[.wobble] * SIMD2(slow.x, slow.y)
  }

  /// The distance to the cell's outline of a point relative to its middle.
  private func distance(_ p: SIMD2<Float>) -> Float {
    SignedDistance.ellipse(SIMD2(p.x * axis.x + p.y * axis.y, p.y * axis.x - p.x * axis.y), axes: axes)
  }

  private func paintCytoplasm(on canvas: inout Canvas) {
    let cytoplasm =
      stains.blue * traits[.basophilia] + stains.eosin * traits[.acidophilia]
      + stains.haemoglobin * traits[.haemoglobin]
    let pixel = canvas.pixel
    canvas.lay(around: centre, reach: 1.2 * axes.x + traits[.wobble] + pixel) { density, at in
      let p = at - centre
      let outline = distance(p + strayed(p))
      guard outline < pixel else { return }
      let fine = noise.values(at: p * 1.4 + texture)
      let rim = traits[.membrane] * SignedDistance.step(-0.5 - pixel, -0.1, outline)
      let wanted = cytoplasm * max(0, 1 + traits[.grain] * (fine.z + 0.5 * fine.w) + rim)
      density += (wanted - density) * min(max(0.5 - outline / pixel, 0), 1)
    }
  }

  private func paintNucleus(on canvas: inout Canvas) {
    let pixel = canvas.pixel
    let bridge = max(traits[.bridge] * traits[.radius], 0.05)
    let nucleolus = beads[0].centre + 0.4 * beads[0].radius * axis
    canvas.lay(around: centre, reach: 1.2 * axes.x + traits[.wobble] + pixel) { density, at in
      let p = at - centre
      let strayed = p + strayed(p)
      var outline = Float.infinity
      for bead in beads {
        let one = SignedDistance.length(strayed - bead.centre) - bead.radius
        outline = outline == .infinity ? one : SignedDistance.union(outline, one, blend: bridge)
      }
      // The nucleus stays inside the cell.
      outline = max(outline, distance(strayed) + 0.15)
      guard outline < pixel else { return }
      let coarse = noise.values(at: p / max(traits[.clumpSize], 0.3) + texture)
      let fine = noise.values(at: p * 1.9 - texture)
      var strength = 1 + traits[.clumping] * (coarse.z + 0.6 * fine.z)
      strength += 0.12 * SignedDistance.step(-0.6, -0.2, outline)
      strength -=
        traits[.nucleolus] * SignedDistance.step(0.9, 0.4, SignedDistance.length(p - nucleolus))
      let wanted = stains.purple * max(0, traits[.chromatin] * strength)
      density += (wanted - density) * min(max(0.5 - outline / pixel, 0), 1)
    }
  }

  private func paintGranules(_ count: Int, on canvas: inout Canvas, _ draws: inout Draws) {
    let stain = stains.purple * traits[.granulePurple] + stains.eosin * traits[.granuleEosin]
    for _ in 0..<max(count, 0) {
      canvas.disc(
        at: place(draws.pointInDisc() * 0.92), radius: traits[.granuleRadius] * draws.uniform(in: 0.7...1.3),
        density: stain * draws.uniform(in: 0.75...1.2), opacity: draws.uniform(in: 0.6...0.95))
    }
  }
}
