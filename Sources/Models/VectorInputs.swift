import Layers

extension Network {
  /// The same network without each Flatten that only linear layers read: they read images (C, H, W) as
  /// well as the vector. A sum over features runs in another order then, so the last bits change.
  func withoutFlatten() -> Network {
    let consumers = consumers
    var layers = nodes.map(\.layer)
    var sources: [Int: Source] = [:]
    for (index, node) in nodes.enumerated() where node.layer is Flatten {
      guard case .node(let source) = node.inputs[0], !consumers[index].isEmpty,
        consumers[index].allSatisfy({ nodes[$0].layer is Linear })
      else { continue }
      for consumer in consumers[index] {
        guard var linear = layers[consumer] as? Linear else { continue }
        linear.flattens = true
        layers[consumer] = linear
      }
      sources[index] = .node(source)
    }
    return replacing(layers, removed: sources)
  }

  /// The same network with convolutions that read the images planar, as they come, where they can.
  func readingPlanarImages() -> Network {
    replacing(
      nodes.map { node in
        guard node.inputs == [.image], var layer = node.layer as? Conv2d, layer.canReadImages(input) else {
          return node.layer
        }
        layer.readsImages = true
        return layer
      })
  }
}
