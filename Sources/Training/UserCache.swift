import Foundation

/// Where results that cost time to find are kept for the user from run to run.
package enum UserCache {
  /// `$XDG_CACHE_HOME/cnn-dist/NAME`, by default under `~/.cache`.
  package static func path(_ name: String) -> String {
    let environment = ProcessInfo.processInfo.environment
    let base = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "/tmp") + "/.cache"
    let directory = "\(base)/cnn-dist"
    try? DirectoryTree.create(directory)
    return "\(directory)/\(name)"
  }
}
