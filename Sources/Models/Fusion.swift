import Layers

extension Network {
  /// The same network as it is run: ReLUs drawn into the layer before them, no Flatten before linear
  /// layers, images read as they come. Names and parameters stay. In inference convolutions take in what
  /// follows them, too: they have no backward pass that needed to know what came between.
  package func fused(for mode: Mode = .training) -> Network {
    withActivationsFused(for: mode).withPoolsBeforeReLU(for: mode).withoutFlatten().readingPlanarImages()
  }

  /// The same network with max pools before the ReLUs that they read: `max(relu(x)) = relu(max(x))`, and who wins
  /// and gets a gradient is the same, but ReLU works on what is left. In inference convolutions do their ReLU
  /// themselves, for nothing.
  private func withPoolsBeforeReLU(for mode: Mode) -> Network {
    guard mode == .training else { return self }
    let consumers = consumers
    var (layers, names) = (nodes.map(\.layer), nodes.map(\.name))
    for (index, node) in nodes.enumerated() where node.layer is MaxPool2d {
      guard case .node(let before) = node.inputs[0], layers[before] is ReLU, consumers[before].count == 1
      else { continue }
      layers.swapAt(before, index)
      names.swapAt(before, index)
    }
    return replacing(layers, names: names)
  }

  /// The same network with what follows batch norms, sums and convolutions drawn into them, where nothing else reads
  /// what lies between. Names, parameters and their order stay; passes over memory are saved.
  func withActivationsFused(for mode: Mode = .training) -> Network {
    drawingFunctions(mode).drawingSums(mode).drawingPools()
  }

  /// A layer that does what follows in its own pass; nil where it can't.
  private func drawn(_ layer: any Layer, _ following: Following, _ mode: Mode) -> (any Layer)? {
    switch layer {
    case var layer as BatchNorm2d where layer.following == .nothing:
      layer.following = following
      return layer
    case var layer as Conv2d where layer.following == .nothing && mode == .inference:
      layer.following = following
      return layer
    default: return nil
    }
  }

  /// Batch norm or convolution and the function behind it, or a sum and the ReLU.
  private func drawingFunctions(_ mode: Mode) -> Network {
    drawing { layer, next, _ in
      guard let following = Following(next) else { return nil }
      guard var sum = layer as? Add, sum.activation == nil else { return drawn(layer, following, mode) }
      guard following == .relu else { return nil }
      sum.activation = .relu
      return sum
    }
  }

  /// Batch norm or convolution, ReLU and max pooling over 2×2.
  private func drawingPools() -> Network {
    let halving = MaxPool2d(kernel: 2)
    return drawing { layer, next, shape in
      guard let pool = next as? MaxPool2d, pool == halving, shape.height > 1, shape.width > 1 else {
        return nil
      }
      switch layer {
      case var layer as BatchNorm2d where layer.following == .relu:
        layer.following = .reluThenMaxPool
        return layer
      case var layer as Conv2d where layer.following == .relu:
        layer.following = .reluThenMaxPool
        return layer
      default: return nil
      }
    }
  }

  /// Draws layers into the only layer that they read, as `fuse` says: the layer, what reads its output, and
  /// the output's shape. Where a layer ran before, both do now.
  private func drawing(
    _ fuse: (_ layer: any Layer, _ next: any Layer, _ shape: FeatureShape) -> (any Layer)?
  ) -> Network {
    let consumers = consumers
    var layers = nodes.map(\.layer)
    var removed: [Int: Source] = [:]
    for (index, node) in nodes.enumerated() where node.inputs.count == 1 {
      guard case .node(let source) = node.inputs[0], consumers[source].count == 1, removed[source] == nil,
        let fused = fuse(layers[source], node.layer, nodes[source].shape)
      else { continue }
      layers[source] = fused
      removed[index] = .node(source)
    }
    return replacing(layers, removed: removed)
  }

  /// Batch norm or convolution, the sum with another branch, and ReLU where there is one. Of two that are added the later one
  /// takes the other's output as its second input: a sum of two has the same bits either way.
  private func drawingSums(_ mode: Mode) -> Network {
    let consumers = consumers
    var layers = nodes.map(\.layer)
    var (removed, extra): ([Int: Source], [Int: Source]) = ([:], [:])
    for (index, node) in nodes.enumerated() {
      guard let add = node.layer as? Add, node.inputs.count == 2,
        case .node(let later)? = node.inputs.max(by: { $0.order < $1.order }),
        let residual = node.inputs.first(where: { $0 != .node(later) }), consumers[later] == [index],
        let drawn = drawn(layers[later], add.activation == .relu ? .addThenReLU : .add, mode)
      else { continue }
      layers[later] = drawn
      removed[index] = .node(later)
      extra[later] = residual
    }
    return replacing(layers, removed: removed, extraInputs: extra)
  }
}

extension Network.Source {
  /// When it is there.
  fileprivate var order: Int {
    switch self {
    case .image: -1
    case .node(let index): index
    }
  }
}
