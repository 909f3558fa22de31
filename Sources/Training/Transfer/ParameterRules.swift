import Glibc
import Models

/// How the update of an array differs from that of others.
package struct ParameterRule: Sendable, Equatable {
  /// Multiplies the learning rate.
  package var rateScale = 1.0
  /// In the place of `optimizer.weight_decay` and `decay_biases_and_norms`; nil for those.
  package var weightDecay: Double?
  /// Steps of the run before the first that trains it: its optimizer's corrections count from there.
  package var firstStep = 0

  package init(rateScale: Double = 1, weightDecay: Double? = nil, firstStep: Int = 0) {
    (self.rateScale, self.weightDecay, self.firstStep) = (rateScale, weightDecay, firstStep)
  }
}

/// The rules of a network's arrays, by name; arrays without one are updated as `optimizer` says.
package struct ParameterRules: Sendable, Equatable {
  package private(set) var byName: [String: ParameterRule] = [:]

  package static let none = ParameterRules()

  private init() {}

  /// From `optimizer.groups`, `optimizer.layer_decay` and the epochs in which layers are unfrozen. A block's rate is
  /// multiplied by layer_decay once for each block behind it, so the head's is not (Clark et al., ELECTRA,
  /// arXiv:2003.10555; timm's `layer_decay`). Throws `RunError` where a group fits nothing.
  package init(
    _ config: OptimizerConfig, freezing: FreezingPlan, network: Network, stepsPerEpoch: Int
  ) throws(RunError) {
    let blocks = network.blocks
    var depth: [String: Int] = [:]
    for (number, block) in blocks.enumerated() {
      for layer in block.layers { depth[layer] = blocks.count - 1 - number }
    }
    let groups = config.groups.map { (group: $0, patterns: $0.names.map(NamePattern.init)) }
    let names = network.nodes.flatMap(\.parameters).map(\.name)
    for (index, group) in groups.enumerated() {
      for pattern in group.patterns where !names.contains(where: pattern.fits) {
        throw network.noArray(fits: pattern.text, key: "optimizer.groups[\(index)].names")
      }
    }
    for node in network.nodes {
      for entry in node.parameters {
        var rule = ParameterRule()
        if let group = groups.first(where: { $0.patterns.contains { $0.fits(entry.name) } })?.group {
          (rule.rateScale, rule.weightDecay) = (group.rateScale, group.weightDecay)
        }
        rule.rateScale *= pow(config.layerDecay, Double(depth[node.name] ?? 0))
        rule.firstStep = (freezing.firstEpoch(of: node.name) ?? 0) * stepsPerEpoch
        if rule != ParameterRule() { byName[entry.name] = rule }
      }
    }
  }

  package subscript(name: String) -> ParameterRule { byName[name] ?? ParameterRule() }
}
