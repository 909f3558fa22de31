/// Distances to outlines, negative inside.
enum SignedDistance {
  static func length(_ v: SIMD2<Float>) -> Float { (v.x * v.x + v.y * v.y).squareRoot() }

  /// To an ellipse about the origin with half axes `axes`, by one Newton step from the point towards it:
  /// k (k − 1) / |p / axes²|, k = |p / axes|. Exact for a circle.
  static func ellipse(_ p: SIMD2<Float>, axes: SIMD2<Float>) -> Float {
    let k = length(p / axes)
    return k * (k - 1) / max(length(p / (axes * axes)), 1e-6)
  }

  /// The union of two shapes whose corner is filled over a width of `k`:
  /// min(a, b) − h² k / 4, h = max(0, 1 − |a − b| / k) (Quilez, "Smooth minimum", 2013).
  static func union(_ a: Float, _ b: Float, blend k: Float) -> Float {
    let h = max(0, 1 - abs(a - b) / k)
    return min(a, b) - h * h * k * 0.25
  }

  /// From 0 at `low` to 1 at `high`, without corners.
  static func step(_ low: Float, _ high: Float, _ x: Float) -> Float {
    let t = min(max((x - low) / (high - low), 0), 1)
    return t * t * (3 - 2 * t)
  }
}
