import Glibc

/// What kind of CPU this is.
package enum CPUModel {
  /// As the kernel calls it: `Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz`.
  package static var name: String { name(in: "/proc/cpuinfo") }

  /// The first `model name` in a file like /proc/cpuinfo (ARM: `CPU part`); `unknown` where there is none.
  package static func name(in path: String) -> String {
    guard let file = fopen(path, "r") else { return "unknown" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = line.withUnsafeBufferPointer {
        String(decoding: $0.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
      let parts = text.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      func words(_ text: Substring) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      }
      if ["model name", "CPU part"].contains(words(parts[0])) { return words(parts[1]) }
    }
    return "unknown"
  }
}
