import Tensors

/// From optical densities to the bytes of an image: lamp, absorption, a lens out of focus, a noisy sensor.
struct Camera {
  /// What the lamp gives, in levels of 255.
  let lamp: SIMD4<Float>
  /// The part by which the lamp is stronger at the right and lower edges of the field.
  let gradient: SIMD2<Float>
  /// The radius of the blur's kernel in pixels, about twice its deviation.
  let blurRadius: Float
  /// Deviation of the sensor's noise in levels of 255.
  let noise: Float

  init(_ stains: Stains, pixel: Float, _ difficulty: SynthDifficulty, _ draws: inout Draws) {
    lamp = stains.light
    gradient = draws.direction() * difficulty.lightVariation * draws.uniform()
    // Squared, so that most images are nearly sharp.
    let focus = draws.uniform()
    blurRadius = 2.6 * difficulty.blur * focus * focus / pixel
    noise = difficulty.noise * draws.uniform(in: 0.15...1)
  }

  func image(of canvas: Canvas, channels: Int, sensor: RandomStream) -> PixelImage {
    let light = blurred(exposed(canvas.densities, size: canvas.size), size: canvas.size)
    let bytes = [UInt8](unsafeUninitializedCapacity: light.count * channels) { bytes, count in
      for (place, value) in light.enumerated() {
        let level = value + noise * Self.normal(sensor.words(ofBlock: place))
        if channels == 1 {
          bytes[place] = Self.byte(0.299 * level.x + 0.587 * level.y + 0.114 * level.z)
        } else {
          for channel in 0..<3 { bytes[3 * place + channel] = Self.byte(level[channel]) }
        }
      }
      count = light.count * channels
    }
    return PixelImage(width: canvas.size, height: canvas.size, channels: channels, bytes: bytes)
  }

  /// lamp · exp(−density), Lambert and Beer's law, by (1 − density/16)¹⁶: within 2 % of the lamp, and the
  /// same bits with every C library.
  private func exposed(_ densities: [SIMD4<Float>], size: Int) -> [SIMD4<Float>] {
    var light = densities
    let middle = Float(size) / 2
    for row in 0..<size {
      for column in 0..<size {
        let place = SIMD2(Float(column) - middle, Float(row) - middle) / middle
        var passed = 1 - light[row * size + column] * 0.0625
        passed.replace(with: 0, where: passed .< 0)
        for _ in 0..<4 { passed *= passed }
        light[row * size + column] = lamp * passed * (1 + gradient.x * place.x + gradient.y * place.y)
      }
    }
    return light
  }

  /// Weighs neighbours at distance t along rows, then columns, by (1 − (t / r)²)², borders repeated.
  private func blurred(_ light: [SIMD4<Float>], size: Int) -> [SIMD4<Float>] {
    let reach = Int(blurRadius.rounded(.up)) - 1
    guard reach >= 1 else { return light }
    var weights = (0...reach).map { t in
      let x = Float(t) / blurRadius
      return (1 - x * x) * (1 - x * x)
    }
    let total = 2 * weights.reduce(0, +) - weights[0]
    for t in weights.indices { weights[t] /= total }
    func along(_ source: [SIMD4<Float>], step: Int, across: Int) -> [SIMD4<Float>] {
      var result = source
      for line in 0..<size {
        for place in 0..<size {
          var sum = weights[0] * source[line * across + place * step]
          for t in 1...reach {
            let before = source[line * across + max(place - t, 0) * step]
            let after = source[line * across + min(place + t, size - 1) * step]
            sum += weights[t] * (before + after)
          }
          result[line * across + place * step] = sum
        }
      }
      return result
    }
    return along(along(light, step: 1, across: size), step: size, across: 1)
  }

  /// A number for each word, with mean 0, deviation 1 and nearly normal: the sum of the word's four bytes.
  static func normal(_ words: SIMD4<UInt32>) -> SIMD4<Float> {
    let pairs = (words & 0x00ff_00ff) &+ ((words &>> 8) & 0x00ff_00ff)
    let sums = (pairs & 0xffff) &+ (pairs &>> 16)
    // Four bytes have the mean 510 and the variance 4 · (256² − 1) / 12 = 147.8².
    return (SIMD4<Float>(SIMD4<Int32>(truncatingIfNeeded: sums)) - 510) * (1 / 147.8)
  }

  private static func byte(_ level: Float) -> UInt8 { UInt8(min(max(level + 0.5, 0), 255)) }
}
