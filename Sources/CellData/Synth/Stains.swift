/// The colours of a slide: optical densities for red, green and blue (the fourth number is not used),
/// drawn anew for each image, since no two slides are stained alike.
struct Stains {
  /// Chromatin and dark granules: azure B with eosin Y.
  let purple: SIMD4<Float>
  /// Cytoplasm rich in RNA.
  let blue: SIMD4<Float>
  /// Red granules and pink cytoplasm.
  let eosin: SIMD4<Float>
  let haemoglobin: SIMD4<Float>
  /// The light that passes where there is no cell, in levels of 255.
  let light: SIMD4<Float>

  init(_ difficulty: SynthDifficulty, _ draws: inout Draws) {
    func varied(_ density: SIMD4<Float>) -> SIMD4<Float> {
      let strength = 1 + difficulty.stainVariation * (draws.uniform() + draws.uniform() - 1)
      let hue = SIMD4(draws.uniform(), draws.uniform(), draws.uniform(), 0.5) * 2 - 1
      return density * strength * (1 + difficulty.hueVariation * hue)
    }
    purple = varied([0.78, 1, 0.4, 0])
    blue = varied([0.95, 0.85, 0.26, 0])
    eosin = varied([0.34, 0.95, 0.72, 0])
    haemoglobin = varied([0.3, 0.62, 0.5, 0])
    let warm: SIMD4<Float> = [250, 228, 202, 0]
    let cool: SIMD4<Float> = [222, 218, 230, 0]
    light =
      (warm + (cool - warm) * draws.uniform())
      * (1 + difficulty.lightVariation * draws.uniform(in: -1...0.3))
  }
}
