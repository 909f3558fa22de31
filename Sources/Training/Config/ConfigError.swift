/// A configuration that says what can't be. `location` is `FILE:LINE`, a `--set` argument, or the
/// word for the defaults.
package struct ConfigError: Error, Equatable, CustomStringConvertible {
  package let location: String
  package let problem: String

  package var description: String { "\(location): \(problem)" }
}

/// An impossible value, before anyone knows where it was written.
package struct ConfigProblem: Error, Equatable, CustomStringConvertible {
  /// The key that is wrong, and after it those that it contradicts.
  package let keys: [String]
  package let problem: String

  package init(_ keys: String..., problem: String) {
    self.keys = keys
    self.problem = problem
  }

  package var description: String { "\(keys.first ?? "configuration") \(problem)" }
}
