/// Paths side by side in one buffer: ten million of them cost little more than their letters.
package struct PathList: Sendable, Equatable {
  /// Each path in UTF-8 and a zero byte behind it, which no path holds.
  package private(set) var bytes: [UInt8] = []
  /// Where each path's zero byte stands.
  private var ends: [Int] = []

  package init() {}

  /// From the bytes of another list.
  package init(bytes: [UInt8]) {
    self.bytes = bytes
    for (place, byte) in bytes.enumerated() where byte == 0 { ends.append(place) }
    precondition((ends.last ?? -1) == bytes.count - 1, "a list of paths expects a zero byte at its end")
  }

  package var count: Int { ends.count }

  package mutating func append(_ path: String) {
    precondition(!path.utf8.contains(0), "a path holds no zero byte")
    bytes.append(contentsOf: path.utf8)
    ends.append(bytes.count)
    bytes.append(0)
  }

  package subscript(index: Int) -> String {
    String(decoding: bytes[(index == 0 ? 0 : ends[index - 1] + 1)..<ends[index]], as: UTF8.self)
  }
}
