import Foundation
import Models
import Tensors

/// Filters that people drew: Sobel's and Gabor's, each beside its negative, since the ReLU behind them keeps only what
/// is above zero. They look at the mean of the channels.
package enum HandBank {
  static let side = 7
  /// Each filter's answers are averaged over a grid of so many places on a side.
  static let grid = 4

  /// 7×7 each, with weights of sum 0, and Σ|w| = 1.
  static let filters: [(name: String, weights: [Float])] = {
    var filters: [(String, [Double])] = [
      ("Sobel, across", sobel { x, y in (x, y) }), ("Sobel, down", sobel { x, y in (y, x) }),
    ]
    for wavelength in [3.0, 6.0] {
      for quarter in 0..<4 {
        filters.append(
          (
            "Gabor, \(quarter * 45)°, \(Int(wavelength)) px",
            gabor(wavelength, angle: Double(quarter) * .pi / 4)
          ))
      }
    }
    return filters.flatMap { name, weights -> [(String, [Float])] in
      let mean = weights.reduce(0, +) / Double(weights.count)
      // Sobel's zeros stay zeros: its sum is 0 as it is.
      let centred = abs(mean) < 1e-12 ? weights : weights.map { $0 - mean }
      let size = centred.reduce(0) { $0 + abs($1) }
      let scaled = centred.map { Float($0 / size) }
      return [(name, scaled), (name + ", negative", scaled.map { -$0 })]
    }
  }()

  private static func weights(_ rule: (Double, Double) -> Double) -> [Double] {
    (0..<(side * side)).map { rule(Double($0 % side - side / 2), Double($0 / side - side / 2)) }
  }

  /// −1 0 1 / −2 0 2 / −1 0 1 in the middle.
  private static func sobel(_ turned: (Double, Double) -> (Double, Double)) -> [Double] {
    weights { x, y in
      let (along, across) = turned(x, y)
      return abs(along) <= 1 && abs(across) <= 1 ? along * (2 - abs(across)) : 0
    }
  }

  /// A wave under a bell: exp(−(x² + y²) / 2σ²) · cos(2π (x cos θ + y sin θ) / λ), σ = λ / 2.
  private static func gabor(_ wavelength: Double, angle: Double) -> [Double] {
    weights { x, y in
      exp(-2 * (x * x + y * y) / (wavelength * wavelength))
        * cos(2 * .pi * (x * cos(angle) + y * sin(angle)) / wavelength)
    }
  }

  /// The bank, a ReLU, means over the grid; behind them, what is trained: a norm that makes the features comparable, and
  /// a linear classifier. As `model.layers` of a configuration.
  static let settings = [
    """
    model.layers=[{conv2d: {name: bank, channels: \(filters.count), kernel: \(side), padding: same, bias: false}}, \
    {relu: {name: relu}}, {adaptive_avg_pool2d: {name: means, output: \(grid)}}, {batch_norm2d: {name: scale}}, \
    {flatten: {name: flatten}}, {linear: {name: classifier, features: classes}}]
    """, "transfer.freeze=[bank]", "transfer.unfreeze=[]",
  ]

  /// The flat values of the bank in a network made of `settings`; the rest is zero.
  static func values(of network: Network) -> FloatBuffer {
    let values = FloatBuffer(count: network.layout.extent)
    let channels = network.input.channels
    for entry in network.layout.entries where entry.name == "bank.weight" {
      entry.fill(
        values.pointer,
        with: filters.flatMap { filter in
          (0..<channels).flatMap { _ in filter.weights.map { $0 / Float(channels) } }
        })
    }
    return values
  }
}
