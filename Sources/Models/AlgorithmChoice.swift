import Layers

extension Network {
  /// The same network with every convolution, and for `blas` and `precision` every linear layer, computed as
  /// they say; those for which a list of layers names an algorithm stay. Throws where a shape can't be done so.
  package func computing(
    by choice: ConvolutionChoice, in precision: Precision = .fp32
  ) throws(NetworkError) -> Network {
    guard choice != .auto || precision != .fp32 else { return self }
    var layers: [any Layer] = []
    for node in nodes {
      switch node.layer {
      case var layer as Conv2d where layer.algorithm == .auto:
        layer.algorithm = choice
        layer.precision = precision
        do { _ = try layer.outputShape(of: node.inputShapes) } catch {
          throw NetworkError("\(node.name): \(error)")
        }
        layers.append(layer)
      case var layer as Linear where layer.algorithm == .auto:
        layer.algorithm = choice
        layer.precision = precision
        layers.append(layer)
      default: layers.append(node.layer)
      }
    }
    return replacing(layers)
  }
}
