import Models

/// What keeps its weights, and until when.
package struct TransferConfig: Codable, Sendable, Equatable {
  package var freeze = FrozenLayers.none
  package var unfreeze: [Unfreezing] = []
  package var batchNorm = FrozenBatchNorm.frozen

  package init() {}

  enum CodingKeys: String, CodingKey {
    case freeze, unfreeze
    case batchNorm = "batch_norm"
  }
}

extension FrozenBatchNorm: ConfigChoice {}

/// Which layers are frozen: a list of patterns, a number of blocks from the front, or `all_but_head`.
package enum FrozenLayers: Codable, Sendable, Equatable {
  case layers([String])
  case blocks(Int)
  case allButHead

  package static let none = FrozenLayers.layers([])
  private static let allButHeadWord = "all_but_head"

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let names = try? container.decode([String].self) {
      self = .layers(names)
    } else if let count = try? container.decode(Int.self) {
      self = .blocks(count)
    } else if let word = try? container.decode(String.self), word == Self.allButHeadWord {
      self = .allButHead
    } else {
      throw DecodingError.dataCorruptedError(
        in: container,
        debugDescription: "expects a list of names, a number of blocks, or \(Self.allButHeadWord)")
    }
  }

  /// As a command line says it: a number, `all_but_head`, or patterns with commas between them.
  package init(argument: String) {
    if let count = Int(argument) {
      self = .blocks(count)
    } else {
      self =
        argument == Self.allButHeadWord
        ? .allButHead : .layers(argument.split(separator: ",").map(String.init))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .layers(let names): try container.encode(names)
    case .blocks(let count): try container.encode(count)
    case .allButHead: try container.encode(Self.allButHeadWord)
    }
  }
}

extension FrozenLayers: CustomStringConvertible {
  package var description: String {
    switch self {
    case .layers(let names): names.isEmpty ? "nothing" : names.joined(separator: ", ")
    case .blocks(let count): "\(count) blocks"
    case .allButHead: Self.allButHeadWord
    }
  }
}

/// What is trained too from an epoch on.
package struct Unfreezing: Codable, Sendable, Equatable {
  /// Finished epochs before.
  package var epoch: Int
  package var layers: Layers

  /// A list of patterns, or `all`.
  package enum Layers: Sendable, Equatable {
    case named([String])
    case all
  }

  enum CodingKeys: String, CodingKey, CaseIterable { case epoch, layers }

  package init(epoch: Int, layers: Layers) { (self.epoch, self.layers) = (epoch, layers) }

  package init(from decoder: any Decoder) throws {
    try decoder.refuseKeys(except: CodingKeys.allCases.map(\.rawValue))
    let container = try decoder.container(keyedBy: CodingKeys.self)
    epoch = try container.decode(Int.self, forKey: .epoch)
    if let names = try? container.decode([String].self, forKey: .layers) {
      layers = .named(names)
    } else if let word = try? container.decode(String.self, forKey: .layers), word == "all" {
      layers = .all
    } else {
      throw DecodingError.dataCorruptedError(
        forKey: .layers, in: container, debugDescription: "expects a list of names, or all")
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(epoch, forKey: .epoch)
    switch layers {
    case .named(let names): try container.encode(names, forKey: .layers)
    case .all: try container.encode("all", forKey: .layers)
    }
  }
}
