import Layers
import Tensors

/// A trained network as inference runs it: batch norms folded into the convolutions before them, nothing dropped,
/// what follows a convolution done in its own pass.
///
/// With the running statistics μ, σ² a batch norm behind a convolution is one more scale and shift of each
/// channel: w' = s·w and b' = s·(b − μ) + bias, with s = weight/√(σ² + ε). Rounding differs from the network
/// that was trained; the class scores agree to about 1e-5 of their size.
package struct FoldedNetwork: Sendable {
  package let network: Network
  private let source: Network
  /// By name of a convolution: the number of the batch norm that it takes in.
  private let norms: [String: Int]

  /// Folds `source`, a network that is not fused yet.
  package init(_ source: Network) {
    self.source = source
    let consumers = source.consumers
    var layers = source.nodes.map(\.layer)
    var removed: [Int: Network.Source] = [:]
    var norms: [String: Int] = [:]
    for (index, node) in source.nodes.enumerated() {
      if node.layer is Dropout || node.layer is StochasticDepth { removed[index] = node.inputs[0] }
      guard node.layer is BatchNorm2d, case .node(let before) = node.inputs[0],
        consumers[before] == [index], var convolution = layers[before] as? Conv2d
      else { continue }
      convolution.hasBias = true
      layers[before] = convolution
      removed[index] = .node(before)
      norms[source.nodes[before].name] = index
    }
    self.norms = norms
    network = source.replacing(layers, removed: removed).fused(for: .inference)
  }

  /// The values of `network`, from those of the network that was folded.
  package func values(from trained: FloatBuffer) -> FloatBuffer {
    let values = FloatBuffer(count: network.layout.extent)
    let arrays = Dictionary(uniqueKeysWithValues: source.layout.entries.map { ($0.name, $0) })
    for node in network.nodes {
      guard let norm = norms[node.name] else {
        for entry in node.parameters + node.statistics {
          guard let from = arrays[entry.name] else {
            preconditionFailure("\(entry.name) is not in the source")
          }
          entry.fill(values.pointer, with: from.array(in: trained.pointer))
        }
        continue
      }
      fold(arrays, node, source.nodes[norm], from: trained, into: values)
    }
    return values
  }

  private func fold(
    _ arrays: [String: FlatLayout.Entry], _ node: Network.Node, _ norm: Network.Node,
    from trained: FloatBuffer, into values: FloatBuffer
  ) {
    func array(_ name: String) -> [Float]? { arrays[name]?.array(in: trained.pointer) }
    guard let layer = norm.layer as? BatchNorm2d, var weight = array("\(node.name).weight"),
      let mean = array("\(norm.name).running_mean"), let variance = array("\(norm.name).running_var")
    else { preconditionFailure("\(norm.name) can't be folded into \(node.name)") }
    let (gain, shift) = (array("\(norm.name).weight"), array("\(norm.name).bias"))
    let bias = array("\(node.name).bias")
    let depth = weight.count / mean.count
    var folded: [Float] = []
    for channel in mean.indices {
      let deviation = (Double(variance[channel]) + Double(layer.epsilon)).squareRoot()
      let scale = Double(gain?[channel] ?? 1) / deviation
      for index in (channel * depth)..<((channel + 1) * depth) {
        weight[index] = Float(scale * Double(weight[index]))
      }
      let centred = Double(bias?[channel] ?? 0) - Double(mean[channel])
      folded.append(Float(scale * centred + Double(shift?[channel] ?? 0)))
    }
    node.parameters[0].fill(values.pointer, with: weight)
    node.parameters[1].fill(values.pointer, with: folded)
  }
}
