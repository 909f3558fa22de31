import CKernels

/// The algorithms of a convolution by pass, as people and files write them: `winograd4 winograd4 direct`.
package struct PassAlgorithms: Hashable, Sendable, LosslessStringConvertible {
  package var forward: String
  /// `none` where nobody asks for the pass.
  package var backwardData: String
  package var backwardWeights: String

  package init(forward: String, backwardData: String, backwardWeights: String) {
    (self.forward, self.backwardData, self.backwardWeights) = (forward, backwardData, backwardWeights)
  }

  package init?(_ description: String) {
    let words = description.split(separator: " ").map(String.init)
    guard words.count == 3 else { return nil }
    self.init(forward: words[0], backwardData: words[1], backwardWeights: words[2])
  }

  package var description: String { "\(forward) \(backwardData) \(backwardWeights)" }

  package static let noPass = "none"

  package subscript(pass: cnn_conv_pass) -> String {
    get {
      switch pass {
      case CNN_CONV_FORWARD: forward
      case CNN_CONV_BACKWARD_DATA: backwardData
      default: backwardWeights
      }
    }
    set {
      switch pass {
      case CNN_CONV_FORWARD: forward = newValue
      case CNN_CONV_BACKWARD_DATA: backwardData = newValue
      default: backwardWeights = newValue
      }
    }
  }
}
