import Layers

extension Network {
  /// The same network with each ReLU drawn into the batch norm or sum before it, where nothing else
  /// reads what lies between. Names, parameters and bits stay; a pass over memory is saved.
  package func fused() -> Network {
    let consumers = consumers
    var replaced: [Int: Int] = [:]
    var layers = nodes.map(\.layer)
    for (index, node) in nodes.enumerated() where node.layer is ReLU {
      guard case .node(let source)? = node.inputs.first, consumers[source].count == 1,
        let fused = Self.activated(layers[source])
      else { continue }
      layers[source] = fused
      replaced[index] = source
    }
    var position: [Int: Int] = [:]
    var parts:
      [(name: String, layer: any Layer, inputs: [Source], inputShapes: [FeatureShape], shape: FeatureShape)] =
        []
    for (index, node) in nodes.enumerated() {
      if let source = replaced[index] {
        position[index] = position[source]
        continue
      }
      position[index] = parts.count
      let inputs = node.inputs.map { source -> Source in
        guard case .node(let old) = source, let new = position[old] else { return source }
        return .node(new)
      }
      parts.append((node.name, layers[index], inputs, node.inputShapes, node.shape))
    }
    return Network(input: input, layers: parts)
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
