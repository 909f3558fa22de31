import Layers

extension Network {
  /// The same network as it is run: ReLUs drawn into the layer before them, no Flatten before linear
  /// layers, images read as they come. Names and parameters stay.
  package func fused() -> Network { withActivationsFused().withoutFlatten().readingPlanarImages() }

  /// The same network with each ReLU drawn into the batch norm or sum before it, where nothing else
  /// reads what lies between. Names, parameters and bits stay; a pass over memory is saved.
  func withActivationsFused() -> Network {
    let consumers = consumers
    var replaced: [Int: Source] = [:]
    var layers = nodes.map(\.layer)
    for (index, node) in nodes.enumerated() where node.layer is ReLU {
      guard case .node(let source)? = node.inputs.first, consumers[source].count == 1,
        let fused = Self.activated(layers[source])
      else { continue }
      layers[source] = fused
      replaced[index] = .node(source)
    }
    return replacing(layers, removed: replaced)
  }

  /// The layer with a ReLU behind it, where it can do both in one pass and has none yet.
  private static func activated(_ layer: any Layer) -> (any Layer)? {
    switch layer {
    case var layer as BatchNorm2d where layer.activation == nil:
      layer.activation = .relu
      return layer
    case var layer as Add where layer.activation == nil:
      layer.activation = .relu
      return layer
    default: return nil
    }
  }
}
