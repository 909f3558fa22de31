import Tensors

/// How the weights of a first convolution are made fit for images with another number of channels.
package enum InputAdaptation: String, Sendable, Codable, CaseIterable {
  /// Each new channel gets Σ old ÷ number of new ones: an image that shows the same in all channels gives what it gave.
  case sum
  /// New channel i gets old channel i modulo their number, scaled by old ÷ new (timm's rule).
  case `repeat`
  /// Each new channel gets the mean of the old ones.
  case average

  /// Weights (O, C, kh, kw) for C = `channels`, from those for another C.
  func adapt(_ weight: Tensor, toChannels channels: Int) -> Tensor {
    let (outputs, old) = (weight.shape[0], weight.shape[1])
    let area = weight.shape[2] * weight.shape[3]
    var values: [Float] = []
    values.reserveCapacity(outputs * channels * area)
    for output in 0..<outputs {
      func element(_ channel: Int, _ tap: Int) -> Double {
        Double(weight.values[(output * old + channel) * area + tap])
      }
      for channel in 0..<channels {
        for tap in 0..<area {
          let value =
            switch self {
            case .sum: (0..<old).reduce(0) { $0 + element($1, tap) } / Double(channels)
            case .repeat: element(channel % old, tap) * Double(old) / Double(channels)
            case .average: (0..<old).reduce(0) { $0 + element($1, tap) } / Double(old)
            }
          values.append(Float(value))
        }
      }
    }
    return Tensor(shape: [outputs, channels, weight.shape[2], weight.shape[3]], values: values)
  }

  /// What it does to each channel, in words.
  var words: String {
    switch self {
    case .sum: "each gets their sum divided by the number of new channels"
    case .repeat: "repeated in turn and scaled"
    case .average: "each gets their mean"
    }
  }
}
