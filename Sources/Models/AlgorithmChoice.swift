import Layers

extension Network {
  /// The same network with every convolution, and for `blas` every linear layer, computed as `choice`
  /// says; those for which a list of layers says so itself stay. Throws where a shape can't be done so.
  package func computing(by choice: ConvolutionChoice) throws(NetworkError) -> Network {
    guard choice != .auto else { return self }
    var layers: [any Layer] = []
    for node in nodes {
      switch node.layer {
      case var layer as Conv2d where layer.algorithm == .auto:
        layer.algorithm = choice
        do { _ = try layer.outputShape(of: node.inputShapes) } catch {
          throw NetworkError("\(node.name): \(error)")
        }
        layers.append(layer)
      case var layer as Linear where layer.algorithm == .auto:
        layer.algorithm = choice
        layers.append(layer)
      default: layers.append(node.layer)
      }
    }
    return replacing(layers)
  }
}
