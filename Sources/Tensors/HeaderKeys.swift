/// Finds what a JSON parser hides: keys that stand twice in one object, of which the last would win.
enum HeaderKeys {
  /// The first key that a header, which is valid JSON, gives twice in one object, as it stands there with its
  /// quotation marks; nil where none is.
  static func repeated(in json: Slice<UnsafeRawBufferPointer>) -> String? {
    /// The keys of the objects that are open; nil for a list.
    var open: [Set<[UInt8]>?] = []
    var last: Range<Int>?
    var index = json.startIndex
    while index < json.endIndex {
      switch json[index] {
      case UInt8(ascii: "\""):
        let begin = index
        index += 1
        while index < json.endIndex, json[index] != UInt8(ascii: "\"") {
          index += json[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        last = begin..<min(index + 1, json.endIndex)
      case UInt8(ascii: "{"): open.append([])
      case UInt8(ascii: "["): open.append(nil)
      case UInt8(ascii: "}"), UInt8(ascii: "]"): _ = open.popLast()
      case UInt8(ascii: ":"):
        guard let key = last, !open.isEmpty else { break }
        let bytes = Array(json[key])
        if open[open.count - 1]?.insert(bytes).inserted == false {
          return String(decoding: bytes, as: UTF8.self)
        }
      default: break
      }
      index += 1
    }
    return nil
  }
}
