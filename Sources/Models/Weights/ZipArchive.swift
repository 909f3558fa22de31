import Tensors

/// The entries of a zip archive in a mapped file (PKWARE's APPNOTE.TXT, 4.3; with the 64-bit fields of 4.5.3).
///
/// Only entries that are stored as they are can be used: torch.save never compresses, and what isn't unpacked
/// can't be a bomb.
struct ZipArchive {
  struct Entry {
    let name: String
    let method: Int
    let flags: Int
    let storedBytes: Int
    let bytes: Int
    /// Of its local header.
    let offset: Int
  }

  let entries: [Entry]
  private let byName: [String: Int]
  private let file: MappedFile

  subscript(name: String) -> Entry? { byName[name].map { entries[$0] } }

  /// Reads the central directory. Throws `WeightsError` where the file isn't a whole archive.
  init(_ file: MappedFile) throws(WeightsError) {
    self.file = file
    let bytes = LittleEndianBytes(file.bytes, path: file.path)
    let directory = try Self.directory(bytes)
    var entries: [Entry] = []
    var byName: [String: Int] = [:]
    var at = directory.offset
    for _ in 0..<directory.count {
      let (entry, next) = try Self.entry(bytes, at: at)
      guard byName.updateValue(entries.count, forKey: entry.name) == nil else {
        throw bytes.refuse("the zip archive holds two entries named \(entry.name)")
      }
      entries.append(entry)
      at = next
    }
    (self.entries, self.byName) = (entries, byName)
  }

  /// The bytes of the file that an entry fills. Throws `WeightsError` where it is compressed or cut short.
  func content(of entry: Entry) throws(WeightsError) -> Range<Int> {
    let bytes = LittleEndianBytes(file.bytes, path: file.path)
    guard entry.method == 0, entry.storedBytes == entry.bytes, entry.flags & 1 == 0 else {
      throw bytes.refuse(
        "the entry \(entry.name) is compressed or encrypted (method \(entry.method)); "
          + "torch.save stores entries as they are, and only those are read")
    }
    guard try bytes.word(entry.offset) == 0x0403_4B50 else {
      throw bytes.refuse("the entry \(entry.name) doesn't begin where the zip directory says")
    }
    let begin = entry.offset + 30 + (try bytes.half(entry.offset + 26)) + (try bytes.half(entry.offset + 28))
    guard begin <= file.bytes.count, entry.bytes <= file.bytes.count - begin else {
      throw bytes.refuse("the entry \(entry.name) of \(entry.bytes) bytes is cut short")
    }
    return begin..<(begin + entry.bytes)
  }

  /// Where the directory lies, by the record that ends the archive.
  private static func directory(_ bytes: LittleEndianBytes) throws(WeightsError) -> (offset: Int, count: Int)
  {
    let shortest = 22
    guard let end = bytes.last(of: [0x50, 0x4B, 0x05, 0x06], within: shortest + 0xFFFF) else {
      throw bytes.refuse("a zip archive that is cut short (its directory is missing)")
    }
    var (count, size) = (try bytes.half(end + 10), try bytes.word(end + 12))
    var offset = try bytes.word(end + 16)
    if end >= 20, try bytes.word(end - 20) == 0x0706_4B50 {
      let long = try bytes.long(end - 12)
      guard try bytes.word(long) == 0x0606_4B50 else {
        throw bytes.refuse("its 64-bit zip directory isn't where it is said to be")
      }
      (count, size) = (try bytes.long(long + 32), try bytes.long(long + 40))
      offset = try bytes.long(long + 48)
    }
    guard offset <= bytes.count, size <= bytes.count - offset, count <= size / 46 else {
      throw bytes.refuse("its zip directory of \(count) entries reaches beyond the file")
    }
    return (offset, count)
  }

  private static func entry(
    _ bytes: LittleEndianBytes, at: Int
  ) throws(WeightsError) -> (entry: Entry, next: Int) {
    guard try bytes.word(at) == 0x0201_4B50 else { throw bytes.refuse("its zip directory is damaged") }
    let (nameCount, extraCount) = (try bytes.half(at + 28), try bytes.half(at + 30))
    let extra = at + 46 + nameCount
    let next = extra + extraCount + (try bytes.half(at + 32))
    guard next <= bytes.count else { throw bytes.refuse("its zip directory is cut short") }
    var fields = [try bytes.word(at + 24), try bytes.word(at + 20), try bytes.word(at + 42)]
    // Fields of all ones have their values in an extra field with the mark 1, in this order.
    var place = extra
    while place + 4 <= extra + extraCount {
      let (mark, length) = (try bytes.half(place), try bytes.half(place + 2))
      if mark == 1 {
        var at = place + 4
        for index in fields.indices where fields[index] == 0xFFFF_FFFF && at + 8 <= place + 4 + length {
          fields[index] = try bytes.long(at)
          at += 8
        }
      }
      place += 4 + length
    }
    let entry = Entry(
      name: bytes.text((at + 46)..<extra), method: try bytes.half(at + 10), flags: try bytes.half(at + 8),
      storedBytes: fields[1], bytes: fields[0], offset: fields[2])
    return (entry, next)
  }
}

/// Numbers of a file, lowest byte first, with every place checked.
struct LittleEndianBytes {
  private let bytes: UnsafeRawBufferPointer
  private let path: String

  init(_ bytes: UnsafeRawBufferPointer, path: String) { (self.bytes, self.path) = (bytes, path) }

  var count: Int { bytes.count }

  func refuse(_ problem: String) -> WeightsError { WeightsError(path: path, problem: problem) }

  func half(_ at: Int) throws(WeightsError) -> Int { Int(UInt16(littleEndian: try load(at))) }
  func word(_ at: Int) throws(WeightsError) -> Int { Int(UInt32(littleEndian: try load(at))) }

  /// 8 bytes that stand for a place in the file or a length of it, so at most 2⁶³ − 1.
  func long(_ at: Int) throws(WeightsError) -> Int {
    let value = UInt64(littleEndian: try load(at))
    guard let small = Int(exactly: value), small < 1 << 62 else {
      throw refuse("a zip field says \(value), more than any file has")
    }
    return small
  }

  func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  /// The last place of `pattern` among the last `distance` bytes.
  func last(of pattern: [UInt8], within distance: Int) -> Int? {
    var at = bytes.count - pattern.count
    while at >= max(0, bytes.count - distance) {
      if bytes[at..<(at + pattern.count)].elementsEqual(pattern) { return at }
      at -= 1
    }
    return nil
  }

  private func load<Number: BitwiseCopyable>(_ at: Int) throws(WeightsError) -> Number {
    guard at >= 0, at <= bytes.count - MemoryLayout<Number>.size else {
      throw refuse("cut short, or damaged: byte \(at) of \(bytes.count) is asked for")
    }
    return bytes.loadUnaligned(fromByteOffset: at, as: Number.self)
  }
}
