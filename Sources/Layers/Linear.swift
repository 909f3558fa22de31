import CKernels
import Tensors

/// A fully connected layer, as PyTorch's `nn.Linear`: y = W · x + bias for x (N, F), W (O, F), y (N, O).
///
/// It is a convolution whose kernel covers the input, so it can read (C, H, W) as well as the vector
/// that a Flatten makes of it: the weights lie by (H, W) then C, and nothing is transposed.
package struct Linear: ConvolvingLayer, Equatable {
  package var outputFeatures: Int
  package var hasBias: Bool
  package var initialisation: WeightInitialisation
  package var algorithm: ConvolutionChoice
  package var choice: ConvolutionChoice { algorithm == .blas ? .blas : .auto }
  package var measured: PassAlgorithms?
  package var precision = Precision.fp32
  /// Whether it reads images (C, H, W) as the vector of F = C·H·W features that `Flatten` would make.
  package var flattens = false

  package init(
    outputFeatures: Int, bias: Bool = true, initialisation: WeightInitialisation = .pytorch,
    algorithm: ConvolutionChoice = .auto
  ) {
    self.outputFeatures = outputFeatures
    hasBias = bias
    self.initialisation = initialisation
    self.algorithm = algorithm
  }

  package var kind: String { "Linear" }
  package var following: Following { .nothing }

  package func outputShape(of inputs: [FeatureShape]) throws(LayerError) -> FeatureShape {
    guard flattens || inputs[0].area == 1 else {
      throw LayerError(
        "Linear expects a vector (F, 1, 1), got \(inputs[0]): a Flatten before it would make one")
    }
    guard outputFeatures >= 1 else {
      throw LayerError("Linear expects at least 1 output feature, got \(outputFeatures)")
    }
    return FeatureShape(channels: outputFeatures)
  }

  /// `weight` (O, F), then `bias` (O).
  package func parameters(for inputs: [FeatureShape]) -> [ArrayDeclaration] {
    let features = inputs[0].count
    let weight = ArrayDeclaration(
      "weight", [outputFeatures, features], .weight, .panels(taps: inputs[0].area),
      initialisation.weight(fanIn: features, fanOut: outputFeatures))
    guard hasBias else { return [weight] }
    let bias = initialisation.bias(fanIn: features)
    return [weight, ArrayDeclaration("bias", [outputFeatures], .bias, .plain, bias)]
  }

  package func multiplyAdds(for inputs: [FeatureShape]) -> Int { inputs[0].count * outputFeatures }

  package func convolutionShape(images: Int, input: FeatureShape) -> ConvolutionShape {
    ConvolutionShape(
      n: images, ic: input.channels, ih: input.height, iw: input.width, oc: outputFeatures, oh: 1, ow: 1,
      kh: input.height, kw: input.width, sh: 1, sw: 1, ph: 0, pw: 0, dh: 1, dw: 1, groups: 1, first: 0,
      images: images, planar: false, dy_alone: false, continues: false)
  }
}
