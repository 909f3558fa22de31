import Layers

/// The hyper-parameters of one layer in a YAML list, taken one by one with their types checked;
/// whatever is left over in the end is unknown.
struct LayerArguments {
  let kind: String
  private let values: [String: ConfigValue]
  private var taken: Set<String> = []

  init(kind: String, values: [String: ConfigValue]) {
    self.kind = kind
    self.values = values
  }

  mutating func integer(_ key: String, default standard: Int? = nil) throws(NetworkError) -> Int {
    switch try value(key, required: standard == nil) {
    case nil: return standard ?? 0
    case .integer(let value): return value
    case .some(let other): throw refusal(key, "a whole number", other)
    }
  }

  mutating func number(_ key: String, default standard: Double) throws(NetworkError) -> Double {
    switch try value(key, required: false) {
    case nil: return standard
    case .integer(let value): return Double(value)
    case .number(let value): return value
    case .some(let other): throw refusal(key, "a number", other)
    }
  }

  mutating func flag(_ key: String, default standard: Bool) throws(NetworkError) -> Bool {
    switch try value(key, required: false) {
    case nil: return standard
    case .bool(let value): return value
    case .some(let other): throw refusal(key, "true or false", other)
    }
  }

  mutating func text(_ key: String) throws(NetworkError) -> String? {
    switch try value(key, required: false) {
    case nil: return nil
    case .text(let value): return value
    case .integer(let value): return "\(value)"
    case .some(let other): throw refusal(key, "a name", other)
    }
  }

  /// A whole number for both directions, or a list of two: [vertical, horizontal].
  mutating func pair(_ key: String, default standard: Int? = nil) throws(NetworkError) -> Size2D {
    switch try value(key, required: standard == nil) {
    case nil: return Size2D(standard ?? 0, standard ?? 0)
    case .integer(let value): return Size2D(value, value)
    case .list(let list):
      guard list.count == 2, case .integer(let first) = list[0], case .integer(let second) = list[1] else {
        throw refusal(key, "a whole number or [vertical, horizontal]", .list(list))
      }
      return Size2D(first, second)
    case .some(let other): throw refusal(key, "a whole number or [vertical, horizontal]", other)
    }
  }

  /// The word `same`, or what `pair` takes.
  mutating func pairOrSame(_ key: String, default standard: Int) throws(NetworkError) -> Size2D? {
    if values[key] == .text("same") {
      taken.insert(key)
      return nil
    }
    return try pair(key, default: standard)
  }

  /// A name or a list of names.
  mutating func names(_ key: String) throws(NetworkError) -> [String] {
    switch try value(key, required: false) {
    case nil: return []
    case .text(let name): return [name]
    case .list(let list):
      var names: [String] = []
      for item in list {
        guard case .text(let name) = item else { throw refusal(key, "names of layers", item) }
        names.append(name)
      }
      return names
    case .some(let other): throw refusal(key, "names of layers", other)
    }
  }

  /// Refuses keys that nobody took.
  func finish() throws(NetworkError) {
    if let unknown = values.keys.filter({ !taken.contains($0) }).min() {
      throw NetworkError(
        "\(kind) has no setting \"\(unknown)\" (it has \(taken.sorted().joined(separator: ", ")))")
    }
  }

  private mutating func value(_ key: String, required: Bool) throws(NetworkError) -> ConfigValue? {
    taken.insert(key)
    guard let value = values[key], value != .null else {
      if required { throw NetworkError("\(kind) expects a setting \"\(key)\"") }
      return nil
    }
    return value
  }

  private func refusal(_ key: String, _ expected: String, _ got: ConfigValue) -> NetworkError {
    NetworkError("\(kind).\(key) expects \(expected), got \(got)")
  }
}
