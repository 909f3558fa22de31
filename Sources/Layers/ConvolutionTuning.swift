import CKernels
import Tensors

/// Finds the fastest algorithm for each pass of a shape, among those that are accurate enough.
package struct ConvolutionTuning {
  /// The largest error, over the array's largest value, that a choice may cost: that of F(5), the least accurate
  /// that the rule may choose.
  package static let tolerance = 1e-5
  /// The share of the time by which another must be faster than the rule's choice: less is noise.
  private static let gain = 0.03
  /// Images that suffice to see an error.
  private static let imagesForErrors = 2

  package let shape: ConvolutionShape
  package let kernels: InstructionSet
  /// How long to measure each algorithm.
  package let seconds: Double

  package init(_ shape: ConvolutionShape, kernels: InstructionSet, seconds: Double) {
    (self.shape, self.kernels, self.seconds) = (shape, kernels, seconds)
  }

  /// Measures; `report` hears each figure. BLAS is a choice for all layers (`ConvolutionChoice.blas`), since its
  /// bits hang on other things, so it isn't in the contest.
  package func run(_ report: (ConvolutionBenchmark.Figure) throws -> Void) rethrows -> PassAlgorithms {
    let timed = ConvolutionBenchmark(shape, kernels: kernels)
    var few = shape
    few.n = min(few.n, Self.imagesForErrors)
    few.images = few.n
    let compared = ConvolutionBenchmark(few, kernels: kernels)
    let rule = Convolution(shape, .auto, .fp32, kernels).algorithmNames
    var found = PassAlgorithms(
      forward: rule[0], backwardData: PassAlgorithms.noPass, backwardWeights: rule[2])
    for pass in timed.passes {
      let reference = compared.reference(pass)
      var times: [String: Double] = [:]
      for name in Convolution.candidates(shape, pass, kernels) where !Convolution.rounds(name) {
        let error = compared.measure(name, pass, seconds: 0, reference: reference).error
        guard error <= Self.tolerance else { continue }
        var figure = timed.measure(name, pass, seconds: seconds, reference: [])
        figure.error = error
        try report(figure)
        // Weights are made ready once a step, and a wave is a lane's step.
        times[name] = figure.seconds + figure.prepareSeconds
      }
      let usual = rule[Int(pass.rawValue)]
      let best = times.min { ($0.value, $0.key) < ($1.value, $1.key) }
      found[pass] = usual
      if let best, let before = times[usual], best.value < (1 - Self.gain) * before { found[pass] = best.key }
    }
    return found
  }
}

extension ConvolutionShape {
  /// What a shape is called where times are kept by shape: all but the images.
  package var key: String {
    "ic=\(ic) oc=\(oc) in=\(ih)x\(iw) out=\(oh)x\(ow) kernel=\(kh)x\(kw) stride=\(sh)x\(sw) "
      + "padding=\(ph)x\(pw) dilation=\(dh)x\(dw) groups=\(groups)" + (planar ? " planar" : "")
  }
}
