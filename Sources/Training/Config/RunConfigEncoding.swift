import Foundation
import Models
import Tensors
import Yams

extension RunConfig {
  /// The whole configuration as YAML, in the order of the reference.
  package func encodedYAML() throws(ConfigError) -> String {
    do {
      return try Yams.serialize(node: try node(), indent: 2, width: -1, allowUnicode: true)
    } catch {
      throw ConfigError(location: "configuration", problem: "can't be written as YAML: \(error)")
    }
  }

  /// A fingerprint of every value.
  package func hash() throws(ConfigError) -> ContentHash { ContentHash(try encodedYAML()) }

  /// The tree that the YAML text stands for. Yams gives it its order and its quotation marks, but
  /// rounds numbers to 15 digits, so those come from a second encoding.
  func node() throws(ConfigError) -> Node {
    do {
      let tree = try Yams.compose(yaml: try YAMLEncoder().encode(self))
      let values = try JSONDecoder().decode(ConfigValue.self, from: try JSONEncoder().encode(self))
      return Self.tidied(tree ?? Node([(Node, Node)]()), values: values)
    } catch {
      throw ConfigError(location: "configuration", problem: "can't be written as YAML: \(error)")
    }
  }

  /// Numbers exact and as people write them (Yams says 1e-3 for 0.001), lists of scalars on one line.
  private static func tidied(_ node: Node, values: ConfigValue) -> Node {
    switch (node, values) {
    case (.mapping(let pairs), .map(let values)):
      return Node(pairs.map { ($0.key, tidied($0.value, values: values[$0.key.string ?? ""] ?? .null)) })
    case (.sequence(let items), .list(let values)):
      let flat = items.allSatisfy { $0.scalar != nil }
      return Node(zip(items, values).map { tidied($0, values: $1) }, .implicit, flat ? .flow : .block)
    case (.scalar, .number(let number)) where node.tag == Tag(.float):
      return Node(number.description)
    case (.scalar, .integer(let number)) where node.tag == Tag(.float):
      return Node(Double(number).description)
    default:
      return node
    }
  }
}
