/// Makes zip archives and pickles byte by byte, right ones and wrong ones.
struct TorchArchive {
  var entries: [(name: String, bytes: [UInt8], method: UInt16)] = []

  /// An archive as torch.save makes it, of a pickle and storages of these bytes.
  init(pickle: [UInt8], storages: [[UInt8]] = [], method: UInt16 = 0) {
    entries = [("a/data.pkl", pickle, method), ("a/byteorder", Array("little".utf8), 0)]
    for (key, bytes) in storages.enumerated() { entries.append(("a/data/\(key)", bytes, 0)) }
  }

  var bytes: [UInt8] {
    var (file, directory) = ([UInt8](), [UInt8]())
    for entry in entries {
      let offset = file.count
      let fields =
        Self.half(20) + Self.half(0) + Self.half(Int(entry.method)) + Self.word(0) + Self.word(0)
        + Self.word(entry.bytes.count) + Self.word(entry.bytes.count) + Self.half(entry.name.utf8.count)
        + Self.half(0)
      file += [0x50, 0x4B, 3, 4] + fields + Array(entry.name.utf8) + entry.bytes
      directory += [0x50, 0x4B, 1, 2] + Self.half(20) + fields
      directory += Array(repeating: 0, count: 10) + Self.word(offset) + Array(entry.name.utf8)
    }
    let end =
      [0x50, 0x4B, 5, 6] + Self.word(0) + Self.half(entries.count) + Self.half(entries.count)
      + Self.word(directory.count) + Self.word(file.count) + Self.half(0)
    return file + directory + end
  }

  static func half(_ value: Int) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8 & 255)] }
  static func word(_ value: Int) -> [UInt8] { half(value & 0xFFFF) + half(value >> 16 & 0xFFFF) }
}

/// Pieces of pickles.
enum Pickle {
  static let begin: [UInt8] = [0x80, 2]
  static let end = Array(".".utf8)

  static func text(_ text: String) -> [UInt8] {
    Array("X".utf8) + TorchArchive.word(text.utf8.count) + Array(text.utf8)
  }
  static func integer(_ value: Int) -> [UInt8] { Array("J".utf8) + TorchArchive.word(value) }
  static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
  static func tuple(_ items: [UInt8]...) -> [UInt8] {
    Array("(".utf8) + items.flatMap(\.self) + Array("t".utf8)
  }

  static func storage(_ key: String = "0", count: Int, type: String = "FloatStorage") -> [UInt8] {
    tuple(text("storage"), global("torch", type), text(key), text("cpu"), integer(count)) + Array("Q".utf8)
  }

  static func tensor(
    _ storage: [UInt8], offset: Int = 0, size: [Int], strides: [Int]
  ) -> [UInt8] {
    func numbers(_ values: [Int]) -> [UInt8] {
      Array("(".utf8) + values.flatMap(integer) + Array("t".utf8)
    }
    return global("torch._utils", "_rebuild_tensor_v2")
      + tuple(storage, integer(offset), numbers(size), numbers(strides), [0x89], Array("}".utf8))
      + Array("R".utf8)
  }

  /// A whole pickle of a dict.
  static func dictionary(_ pairs: [(String, [UInt8])]) -> [UInt8] {
    begin + Array("}(".utf8) + pairs.flatMap { text($0.0) + $0.1 } + Array("u".utf8) + end
  }
}
