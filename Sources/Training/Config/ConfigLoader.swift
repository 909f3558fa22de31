import Foundation
import Tensors
import Yams

/// A configuration and where each of its values was written.
package struct LoadedConfig: Sendable {
  package let config: RunConfig
  let origins: [String: String]

  /// `FILE:LINE` or `--set …` of a key (`training.batch`, `model.layers[2].conv`), or of the nearest
  /// thing around it; `default` where nobody wrote it.
  package func location(of key: String) -> String { ConfigLoader.location(of: key, in: origins) ?? "default" }

  /// The same complaint with file and line.
  package func located(_ problem: ConfigProblem) -> ConfigError {
    let key = problem.keys.first { ConfigLoader.location(of: $0, in: origins) != nil }
    return ConfigError(location: location(of: key ?? problem.keys.first ?? ""), problem: problem.description)
  }
}

/// Lays what users write over the defaults, and refuses what has no place there.
package struct ConfigLoader {
  private var origins: [String: String] = [:]
  private var tree: Node
  private let defaults: Node
  private let keys: [String]

  /// The defaults, then `file` (if any), then each `key=value` of `overrides`. Throws `FileError` or
  /// `ConfigError`.
  package static func load(file: String?, overrides: [String] = []) throws -> LoadedConfig {
    guard let file else { return try load(text: "", name: "default", overrides: overrides) }
    guard let bytes = FileManager.default.contents(atPath: file) else {
      let handle = fopen(file, "r")
      guard handle == nil else {
        fclose(handle)
        throw FileError(path: file, problem: "not a readable file")
      }
      throw FileError(path: file, cannot: "open the configuration")
    }
    guard let text = String(data: bytes, encoding: .utf8) else {
      throw FileError(path: file, problem: "expects text in UTF-8")
    }
    return try load(text: text, name: file, overrides: overrides)
  }

  /// The defaults, then `text`, which messages call `name`, then `overrides`.
  package static func load(text: String, name: String, overrides: [String] = []) throws(ConfigError)
    -> LoadedConfig
  {
    var loader = try ConfigLoader()
    try loader.add(text: text, name: name)
    for override in overrides { try loader.add(override: override) }
    return try loader.finish()
  }

  private init() throws(ConfigError) {
    defaults = try RunConfig().node()
    tree = defaults
    keys = Self.keys(of: defaults, path: "")
  }

  private mutating func add(text: String, name: String) throws(ConfigError) {
    guard let node = try Self.compose(text, location: { "\(name):\($0)" }) else { return }
    tree = try overlay(node, on: tree, path: "") { "\(name):\($0.mark?.line ?? 1)" }
  }

  private mutating func add(override: String) throws(ConfigError) {
    let location = "--set \(override)"
    guard let equals = override.firstIndex(of: "="), equals != override.startIndex else {
      throw ConfigError(location: location, problem: "expects key=value")
    }
    let text = String(override[override.index(after: equals)...])
    let value = try Self.compose(text, location: { _ in location }) ?? Node("")
    let path = override[..<equals].split(separator: ".", omittingEmptySubsequences: false)
    let node = path.reversed().reduce(value) { Node([(Node(String($1)), $0)]) }
    tree = try overlay(node, on: tree, path: "") { _ in location }
  }

  /// Puts `user` in the place of what it names in `tree`, and notes where each value comes from.
  private mutating func overlay(
    _ user: Node, on tree: Node, path: String, location: (Node) -> String
  ) throws(ConfigError) -> Node {
    guard case .mapping(var section) = tree else {
      note(user, path: path, location: location)
      return user
    }
    // A section whose keys are all commented out reads as nothing.
    if user.tag == Tag(.null) { return tree }
    guard case .mapping(let pairs) = user else {
      throw ConfigError(
        location: location(user),
        problem:
          "\(path.isEmpty ? "the configuration" : path) expects a section of keys, got \(Self.words(for: user))"
      )
    }
    origins[path] = origins[path] ?? location(user)
    for (keyNode, value) in pairs {
      let key = Self.join(path, keyNode.string ?? Self.words(for: keyNode))
      guard let name = keyNode.string, let inner = section[Node(name)] else {
        throw ConfigError(
          location: location(keyNode), problem: "unknown key \"\(key)\"\(suggestion(for: key))")
      }
      origins[key] = location(keyNode)
      section[Node(name)] = try overlay(value, on: inner, path: key, location: location)
    }
    return .mapping(section)
  }

  private mutating func note(_ node: Node, path: String, location: (Node) -> String) {
    origins[path] = location(node)
    switch node {
    case .mapping(let pairs):
      for (key, value) in pairs { note(value, path: Self.join(path, key.string ?? ""), location: location) }
    case .sequence(let values):
      for (index, value) in values.enumerated() { note(value, path: "\(path)[\(index)]", location: location) }
    case .scalar, .alias: break
    }
  }

  private func finish() throws(ConfigError) -> LoadedConfig {
    var config: RunConfig
    do {
      config = try YAMLDecoder().decode(RunConfig.self, from: tree)
    } catch {
      throw located(error)
    }
    // Nobody who asks for a small batch means to be refused for a microbatch that he didn't ask for.
    if origins["training.microbatch"] == nil, config.training.batch > 0 {
      config.training.microbatch = min(config.training.microbatch, config.training.batch)
    }
    let loaded = LoadedConfig(config: config, origins: origins)
    do {
      try config.validate()
    } catch {
      throw loaded.located(error)
    }
    return loaded
  }

  /// A decoding error as a line about a key: what it expects follows from its default.
  private func located(_ error: any Error) -> ConfigError {
    guard let error = error as? DecodingError else {
      return ConfigError(location: "default", problem: "\(error)")
    }
    let context: DecodingError.Context
    var type: Any.Type?
    switch error {
    case .typeMismatch(let expected, let found), .valueNotFound(let expected, let found):
      (context, type) = (found, expected)
    case .dataCorrupted(let found), .keyNotFound(_, let found): context = found
    @unknown default: return ConfigError(location: "default", problem: "\(error)")
    }
    var key = ""
    for component in context.codingPath {
      key = component.intValue.map { "\(key)[\($0)]" } ?? Self.join(key, component.stringValue)
    }
    let location = Self.location(of: key, in: origins) ?? "default"
    guard let type else {
      return ConfigError(location: location, problem: "\(key) \(context.debugDescription)")
    }
    let expected = Self.node(at: context.codingPath, in: defaults).map(Self.kind) ?? Self.kind(of: type)
    let got = Self.node(at: context.codingPath, in: tree).map(Self.words) ?? "something else"
    return ConfigError(location: location, problem: "\(key) expects \(expected), got \(got)")
  }

  private func suggestion(for key: String) -> String {
    if let nearest = Spelling.nearest(to: key, among: keys) { return " (did you mean \"\(nearest)\"?)" }
    let section = key.split(separator: ".").dropLast().joined(separator: ".")
    let prefix = section.isEmpty ? "" : section + "."
    let siblings = keys.filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains(".") }
    return siblings.isEmpty ? "" : " (expects one of \(siblings.joined(separator: ", ")))"
  }
}

extension ConfigLoader {
  /// Where `key` was written, or else the list or section that holds it.
  static func location(of key: String, in origins: [String: String]) -> String? {
    var key = Substring(key)
    while !key.isEmpty {
      if let origin = origins[String(key)] { return origin }
      guard let cut = key.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
      key = key[..<cut]
    }
    return nil
  }

  private static func compose(_ text: String, location: (Int) -> String) throws(ConfigError) -> Node? {
    func refuse(_ line: Int, _ problem: String) -> ConfigError {
      ConfigError(location: location(line), problem: problem)
    }
    do {
      return try Yams.compose(yaml: text)
    } catch let error as YamlError {
      switch error {
      case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
        .composer(let context, let problem, let mark, _):
        throw refuse(mark.line, "not YAML: " + (context.map { "\($0.text), " } ?? "") + problem)
      case .reader(let problem, let offset, _, _):
        let line = 1 + text.prefix(offset ?? 0).count { $0.isNewline }
        throw refuse(line, "not YAML: \(problem)")
      case .duplicatedKeysInMapping(let duplicates, let context):
        let names = duplicates.sorted().map { "\"\($0)\"" }.joined(separator: ", ")
        throw refuse(context.mark.line, "gives \(names) twice in one section")
      default: throw refuse(1, "not YAML: \(error)")
      }
    } catch {
      throw refuse(1, "not YAML: \(error)")
    }
  }

  /// Every path of a tree, sections included.
  static func keys(of node: Node, path: String) -> [String] {
    guard case .mapping(let pairs) = node else { return [] }
    return pairs.flatMap { key, value in
      let path = join(path, key.string ?? "")
      return [path] + keys(of: value, path: path)
    }
  }

  private static func join(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  private static func node(at path: [any CodingKey], in node: Node) -> Node? {
    path.reduce(node) { node, key in key.intValue.map { node?[$0] } ?? node?[key.stringValue] }
  }

  /// What a value like this default is called.
  private static func kind(_ node: Node) -> String {
    switch node {
    case .mapping: return "a section of keys"
    case .sequence: return "a list"
    case .scalar, .alias: break
    }
    switch node.tag {
    case Tag(.int): return "a whole number"
    case Tag(.float): return "a number"
    case Tag(.bool): return "true or false"
    default: return "text"
    }
  }

  private static func kind(of type: Any.Type) -> String {
    switch type {
    case is Int.Type: "a whole number"
    case is Double.Type: "a number"
    case is Bool.Type: "true or false"
    default: "text"
    }
  }

  /// A value as messages quote it.
  private static func words(for node: Node) -> String {
    guard case .scalar(let scalar) = node else { return kind(node) }
    switch node.tag {
    case Tag(.int), Tag(.float), Tag(.bool): return scalar.string
    case Tag(.null): return "nothing"
    default: return "\"\(scalar.string)\""
    }
  }
}
