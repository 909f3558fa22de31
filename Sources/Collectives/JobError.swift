/// An error that all ranks of a job throw alike, so that none waits for another. One of them tells it.
package protocol SharedError: Error, CustomStringConvertible {
  var speaker: Int { get }
}

/// What one rank met, or several did, thrown by all.
package struct JobError: SharedError, Equatable {
  /// The lowest of the ranks that met it.
  package let speaker: Int
  package let description: String
}

extension Disagreement: SharedError {
  package var speaker: Int { 0 }
}

extension Communicator {
  /// Runs `body`, which holds no collective, on every rank. Where it throws on any, all ranks throw what
  /// the lowest of those met: a `JobError`, or in a single process the error itself. Collective.
  package func together<Value>(_ body: () throws -> Value) throws -> Value {
    guard size > 1 else { return try body() }
    let outcome = Result { try body() }
    var failure: String?
    if case .failure(let error) = outcome { failure = "\(error)" }
    let first = try minimum(failure == nil ? size : rank)
    guard first < size else { return try outcome.get() }
    let text = try broadcast(Array((failure ?? "").utf8), from: first)
    throw JobError(speaker: first, description: String(decoding: text, as: UTF8.self))
  }
}
