import Models
import Tensors

/// Which layers of a network are frozen in which epoch, as `transfer` of the configuration says it.
package struct FreezingPlan: Sendable, Equatable {
  /// What is frozen from an epoch on, by the names of layers; the first begins at 0, and each holds fewer.
  package struct Stage: Sendable, Equatable {
    package let epoch: Int
    package let frozen: Set<String>

    package init(epoch: Int, frozen: Set<String>) { (self.epoch, self.frozen) = (epoch, frozen) }
  }

  package let stages: [Stage]

  /// Throws `RunError` where a pattern fits nothing, or nothing is left to train.
  package init(_ config: TransferConfig, network: Network) throws(RunError) {
    let blocks = network.blocks
    var frozen: Set<String>
    switch config.freeze {
    case .layers(let patterns):
      frozen = try network.layers(fitting: patterns, key: "transfer.freeze")
    case .blocks(let count):
      guard count < blocks.count else {
        throw RunError(
          "transfer.freeze expects fewer than the \(blocks.count) blocks of the network "
            + "(\(blocks.map(\.name).joined(separator: ", "))), got \(count)")
      }
      frozen = Set(blocks.prefix(count).flatMap(\.layers))
    case .allButHead: frozen = Set(blocks.dropLast().flatMap(\.layers))
    }
    guard frozen.count < blocks.reduce(0, { $0 + $1.layers.count }) else {
      throw RunError("transfer.freeze freezes all layers, and leaves nothing to train")
    }
    var stages = [Stage(epoch: 0, frozen: frozen)]
    for (index, step) in config.unfreeze.enumerated() {
      switch step.layers {
      case .all: frozen = []
      case .named(let patterns):
        let thawed = try network.layers(fitting: patterns, key: "transfer.unfreeze[\(index)].layers")
        guard !frozen.isDisjoint(with: thawed) else {
          throw RunError(
            "transfer.unfreeze[\(index)].layers: nothing that \(patterns.joined(separator: ", ")) fits is frozen "
              + "by then")
        }
        frozen.subtract(thawed)
      }
      stages.append(Stage(epoch: step.epoch, frozen: frozen))
    }
    self.stages = stages
  }

  /// The stage that an epoch belongs to.
  package func stage(ofEpoch epoch: Int) -> Stage { stages.last { $0.epoch <= epoch } ?? stages[0] }

  /// The first epoch in which a layer is trained; nil where it never is.
  func firstEpoch(of layer: String) -> Int? { stages.first { !$0.frozen.contains(layer) }?.epoch }
}

extension Network {
  /// The same network as it is trained in the first epoch. Throws as `FreezingPlan`.
  package func frozen(by config: TransferConfig) throws(RunError) -> Network {
    let frozen = try FreezingPlan(config, network: self).stages[0].frozen
    return frozen.isEmpty ? self : freezing(frozen, batchNorm: config.batchNorm)
  }

  /// The layers with parameters whose arrays fit patterns. Throws where a pattern fits none, or only some arrays of a
  /// layer: gradients of a layer are computed together.
  func layers(fitting patterns: [String], key: String) throws(RunError) -> Set<String> {
    let learned = nodes.filter { !$0.parameters.isEmpty }
    var layers: Set<String> = []
    for text in patterns {
      let pattern = NamePattern(text)
      var fits = false
      for node in learned {
        let fitting = node.parameters.filter { pattern.fits($0.name) }
        guard let one = fitting.first else { continue }
        guard fitting.count == node.parameters.count else {
          throw RunError(
            "\(key): \"\(text)\" fits \(one.name), but not all arrays of \(node.name): layers are frozen whole"
          )
        }
        fits = true
        layers.insert(node.name)
      }
      guard fits else { throw noArray(fits: text, key: key) }
    }
    return layers
  }

  /// The complaint about a pattern that no array's name fits.
  func noArray(fits text: String, key: String) -> RunError {
    let names = nodes.filter { !$0.parameters.isEmpty }.map(\.name) + blocks.map(\.name)
    let nearest = Spelling.nearest(to: text, among: names).map { " (did you mean \"\($0)\"?)" }
    return RunError(
      "\(key): no array of the network fits \"\(text)\""
        + (nearest ?? "; its blocks are \(blocks.map(\.name).joined(separator: ", "))"))
  }
}
