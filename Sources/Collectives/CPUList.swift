import Glibc

/// CPU numbers in the kernel's notation: `0-3,8`.
package enum CPUList {
  /// nil where the text is no list.
  package static func parse(_ text: String) -> [Int]? {
    var cpus: [Int] = []
    for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard let first = ends[0], let last = ends.count == 1 ? first : ends[1], ends.count <= 2, first <= last
      else {
        return nil
      }
      cpus += first...last
    }
    return cpus
  }

  package static func text(_ cpus: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for cpu in cpus.sorted() {
      if let last = runs.last, last.upperBound + 1 == cpu {
        runs[runs.count - 1] = last.lowerBound...cpu
      } else {
        runs.append(cpu...cpu)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(
      separator: ",")
  }
}

/// A small file of the kernel's; nil where it is missing or unreadable.
package func kernelText(_ path: String) -> String? {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return nil }
  defer { close(file) }
  var bytes: [UInt8] = []
  while bytes.count < 1 << 20 {
    let more = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      let count = read(file, buffer.baseAddress, buffer.count)
      return count > 0 ? Array(buffer[..<count]) : []
    }
    if more.isEmpty { break }
    bytes += more
  }
  return String(decoding: bytes, as: UTF8.self)
}
