import CXXHash

/// A 128-bit fingerprint of bytes (XXH3-128), to tell equal weights and files from different ones.
/// It guards against accidents, not against forgers.
package struct ContentHash: Hashable, Sendable, CustomStringConvertible {
  let high: UInt64
  let low: UInt64

  package init(_ bytes: UnsafeRawBufferPointer) {
    let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
    (high, low) = (hash.high64, hash.low64)
  }

  package init(_ text: String) {
    self = Array(text.utf8).withUnsafeBytes { ContentHash($0) }
  }

  /// 32 hexadecimal digits, as `xxhsum -H2` prints them.
  package var description: String { Self.hex(high) + Self.hex(low) }

  private static func hex(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// A fingerprint of many pieces in a row.
package struct ContentHasher: ~Copyable {
  private let state: OpaquePointer

  package init() {
    guard let state = XXH3_createState() else { preconditionFailure("out of memory for a hash state") }
    XXH3_128bits_reset(state)
    self.state = state
  }

  deinit { XXH3_freeState(state) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    XXH3_128bits_update(state, bytes.baseAddress, bytes.count)
  }

  package mutating func update(_ text: String) {
    Array(text.utf8).withUnsafeBytes { update($0) }
  }

  package func finish() -> ContentHash {
    ContentHash(XXH3_128bits_digest(state))
  }
}

extension ContentHash {
  fileprivate init(_ hash: XXH128_hash_t) { (high, low) = (hash.high64, hash.low64) }
}

/// A 64-bit hash of bytes (XXH3-64), for what is hashed in every step.
package enum FastHash {
  package static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    XXH3_64bits(bytes.baseAddress, bytes.count)
  }
}
