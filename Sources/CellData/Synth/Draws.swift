import Tensors

/// Random numbers of one purpose in a row, by plain arithmetic alone: what is drawn from them is the same
/// on every processor and with every C library.
struct Draws {
  private let stream: RandomStream
  private var index = 0

  init(_ stream: RandomStream) { self.stream = stream }

  /// In [0, 1).
  mutating func uniform() -> Float {
    defer { index += 1 }
    return stream.uniform(at: index)
  }

  mutating func uniform(in range: ClosedRange<Float>) -> Float {
    range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
  }

  mutating func integer(below bound: Int) -> Int {
    defer { index += 1 }
    return stream.integer(at: index, below: bound)
  }

  mutating func happens(_ probability: Float) -> Bool { uniform() < probability }

  /// A direction.
  mutating func direction() -> SIMD2<Float> { Self.direction(turns: uniform()) }

  /// A point in the disc of radius 1, each part of it as likely as any other.
  mutating func pointInDisc() -> SIMD2<Float> { direction() * uniform().squareRoot() }

  /// (cos 2πt, sin 2πt) within 0.0011, by a parabola and its square. The C library's sines differ in the
  /// last bit between processors; a picture needs no more than this.
  static func direction(turns: Float) -> SIMD2<Float> {
    func sine(_ turns: Float) -> Float {
      let t = turns - turns.rounded()
      let parabola = 8 * t - 16 * t * abs(t)
      return parabola + 0.225 * (parabola * abs(parabola) - parabola)
    }
    return SIMD2(sine(turns + 0.25), sine(turns))
  }
}

/// Four smooth random fields with values in −1 … 1: random values on a square lattice of 16 × 16 that
/// repeats, blended between its points by 3t² − 2t³.
struct ValueNoise {
  private let lattice: [SIMD4<Float>]

  init(_ stream: RandomStream) {
    lattice = (0..<256).map {
      SIMD4<Float>(SIMD4<Int32>(truncatingIfNeeded: stream.words(ofBlock: $0) &>> 8)) * 0x1p-23 - 1
    }
  }

  /// The fields at a point; neighbouring points of the lattice are 1 apart.
  func values(at point: SIMD2<Float>) -> SIMD4<Float> {
    let corner = point.rounded(.down)
    let t = point - corner
    let blend = t * t * (3 - 2 * t)
    let x = Int(corner.x) & 15
    let y = (Int(corner.y) & 15) << 4
    let right = (x + 1) & 15
    let below = (y + 16) & 255
    let top = lattice[y | x] + blend.x * (lattice[y | right] - lattice[y | x])
    let bottom = lattice[below | x] + blend.x * (lattice[below | right] - lattice[below | x])
    return top + blend.y * (bottom - top)
  }
}
