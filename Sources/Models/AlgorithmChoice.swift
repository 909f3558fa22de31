import Layers
import Tensors

extension Network {
  /// The same network with every convolution, and for `blas` and `precision` every linear layer, computed as
  /// they say; those for which a list of layers names an algorithm stay. Throws where a shape can't be done so.
  ///
  /// - Parameter measured: for `tuned`, by layer; the rule chooses for others.
  package func computing(
    by choice: ConvolutionChoice, in precision: Precision = .fp32, measured: [LayerAlgorithms] = []
  ) throws(NetworkError) -> Network {
    guard choice != .auto || precision != .fp32 else { return self }
    if choice == .tuned { return try computing(by: measured) }
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

  private func computing(by measured: [LayerAlgorithms]) throws(NetworkError) -> Network {
    var layers = nodes.map(\.layer)
    for one in measured {
      guard let index = nodes.firstIndex(where: { $0.name == one.layer }),
        var layer = layers[index] as? any ConvolvingLayer
      else {
        throw NetworkError("engine.algorithms names \(one.layer), which is no convolution or linear layer")
      }
      layer.measured = one.algorithms
      layers[index] = layer
    }
    let network = replacing(layers)
    // As it will run: a first convolution may read the images as they come, which needs another algorithm.
    for node in network.fused().nodes {
      do { try (node.layer as? any ConvolvingLayer)?.checkMeasured(for: node.inputShapes[0]) } catch {
        throw NetworkError("\(node.name): \(error)")
      }
    }
    return network
  }

  /// The layers that are convolutions, as training runs them, with their shapes for `images` images.
  package func convolutions(images: Int) -> [(name: String, shape: ConvolutionShape)] {
    fused().nodes.compactMap { node in
      (node.layer as? any ConvolvingLayer)
        .map { (node.name, $0.convolutionShape(images: images, input: node.inputShapes[0])) }
    }
  }

  /// What computes each of them.
  package func chosenAlgorithms(_ kernels: InstructionSet) -> [LayerAlgorithms] {
    fused().nodes.compactMap { node in
      guard let layer = node.layer as? any ConvolvingLayer else { return nil }
      let names = layer.algorithms(for: node.inputShapes, kernels: kernels)
      return LayerAlgorithms(
        layer: node.name,
        algorithms: PassAlgorithms(
          forward: names[0], backwardData: names[1].isEmpty ? PassAlgorithms.noPass : names[1],
          backwardWeights: names[2]))
    }
  }
}

/// What computes a layer, as a configuration says it: `layer1.0.conv1 winograd4 winograd4 direct`.
package struct LayerAlgorithms: Hashable, Sendable, Codable, LosslessStringConvertible {
  package let layer: String
  package let algorithms: PassAlgorithms

  package init(layer: String, algorithms: PassAlgorithms) {
    (self.layer, self.algorithms) = (layer, algorithms)
  }

  package init?(_ description: String) {
    let words = description.split(separator: " ")
    guard words.count > 3, let algorithms = PassAlgorithms(words.suffix(3).joined(separator: " ")) else {
      return nil
    }
    self.init(layer: words.dropLast(3).joined(separator: " "), algorithms: algorithms)
  }

  package var description: String { "\(layer) \(algorithms)" }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = LayerAlgorithms(text) else {
      throw DecodingError.dataCorruptedError(
        in: container,
        debugDescription:
          "expects a layer and its algorithms of forward, backward data and backward weights, "
          + "got \"\(text)\"")
    }
    self = value
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
