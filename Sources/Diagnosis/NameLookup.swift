import Foundation
import Tensors

/// Looking up the name of this host, as every MPI daemon does at its start.
enum NameLookup {
  /// nil where it can't be found.
  static func secondsForOwnName() -> Double? {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return nil }
    let started = monotonicSeconds()
    var found: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(name, nil, nil, &found)
    defer { if let found { freeaddrinfo(found) } }
    return status == 0 ? monotonicSeconds() - started : nil
  }
}
