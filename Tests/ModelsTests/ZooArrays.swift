import Layers
import Tensors

/// Arrays that Python and Swift make alike from a seed and a name; the twin is scripts/peers/zoo_arrays.py.
///
/// Number i of an array is a hash of its name and i (FNV-1a, then the end of SplitMix64; Steele et al. 2014,
/// doi:10.1145/2660193.2660195): 24 bits of it over 2²⁴, scaled as its role in a network asks.
struct ZooArrays {
  let seed: Int64

  /// Numbers in 0 ..< 1, times `scale`, plus `shift`, times `factor`.
  private func numbers(
    _ name: String, _ count: Int, scale: Float = 1, shift: Float, factor: Float = 1
  ) -> [Float] {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in "\(seed)/\(name)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return [Float](unsafeUninitializedCapacity: count) { values, initialized in
      var counter = hash
      for index in 0..<count {
        counter &+= 0x9E37_79B9_7F4A_7C15
        var z = (counter ^ (counter >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        values[index] = (Float((z ^ (z >> 31)) >> 40) * 0x1p-24 * scale + shift) * factor
      }
      initialized = count
    }
  }

  func symmetric(_ name: String, count: Int, factor: Float = 1) -> [Float] {
    numbers(name, count, scale: 2, shift: -1, factor: factor)
  }

  /// A parameter or a running statistic.
  func array(_ entry: FlatLayout.Entry) -> [Float] {
    let (name, shape) = (entry.name, entry.shape)
    if name.hasSuffix("running_mean") || name.hasSuffix(".bias") {
      return symmetric(name, count: shape.count, factor: 0.125)
    }
    if name.hasSuffix("running_var") { return numbers(name, shape.count, shift: 0.5) }
    if name.hasSuffix("layer_scale") || shape.dimensions.count == 1 {
      return numbers(name, shape.count, scale: 0.5, shift: 0.75)
    }
    let fanIn = shape.dimensions.dropFirst().reduce(1, *)
    return symmetric(name, count: shape.count, factor: (6 / Float(fanIn)).squareRoot())
  }

  /// (N, C, H, W).
  func images(_ count: Int, _ shape: FeatureShape) -> [Float] {
    symmetric("images", count: count * shape.count, factor: 1.75)
  }
}
