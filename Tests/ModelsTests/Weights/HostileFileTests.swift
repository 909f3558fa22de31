import Foundation
import Models
import Tensors
import Testing

/// What a file by torch.save could do to whoever opens it, and what is said instead.
@Suite struct HostileFileTests {
  @Test func whatTheseTestsMakeIsReadWhereItIsWhole() throws {
    let bytes = [Float](arrayLiteral: 1, 2, 3, 4).withUnsafeBytes { Array($0) }
    let tensor = Pickle.tensor(Pickle.storage(count: 4), offset: 1, size: [3], strides: [1])
    try withTemporaryFile { path in
      let archive = TorchArchive(pickle: Pickle.dictionary([("w", tensor)]), storages: [bytes])
      try Data(archive.bytes).write(to: URL(fileURLWithPath: path))
      let file = try WeightsFile(path: path)
      #expect(try file.values(of: file.arrays[0]) == [2, 3, 4])
    }
  }

  @Test(arguments: HostileFile.pickles)
  func aHostilePickleIsRefusedByName(file: HostileFile) throws { try expectRefusal(file) }

  @Test(arguments: HostileFile.tensors)
  func aTensorThatReachesBeyondItsStorageIsRefused(file: HostileFile) throws { try expectRefusal(file) }

  @Test(arguments: HostileFile.archives)
  func aDamagedArchiveIsRefused(file: HostileFile) throws { try expectRefusal(file) }

  private func expectRefusal(_ file: HostileFile) throws {
    try withTemporaryFile { path in
      try Data(file.bytes).write(to: URL(fileURLWithPath: path))
      let started = ContinuousClock.now
      #expect {
        _ = try WeightsFile(path: path)
      } throws: { error in
        let text = "\(error)"
        return text.hasPrefix("\(path): ") && text.contains(file.complaint) && !text.contains("\n")
      }
      // A bomb would take longer, or all of the memory.
      #expect(ContinuousClock.now - started < .seconds(20))
    }
  }
}

struct HostileFile: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let complaint: String

  var testDescription: String { name }

  /// An archive with this pickle.
  private init(_ name: String, _ pickle: [UInt8], storages: [[UInt8]] = [], complaint: String) {
    self.init(name, archive: TorchArchive(pickle: pickle, storages: storages).bytes, complaint: complaint)
  }

  private init(_ name: String, archive: [UInt8], complaint: String) {
    (self.name, bytes, self.complaint) = (name, archive, complaint)
  }

  private static func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }
  private static func repeated(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    Array(repeatElement(bytes, count: count).joined())
  }

  static let pickles: [HostileFile] = [
    HostileFile(
      "os.system",
      Pickle.begin + Pickle.global("os", "system") + Pickle.tuple(Pickle.text("id")) + ascii("R."),
      complaint: "a/data.pkl, byte 2: refused: the name os.system (opcode GLOBAL)"),
    HostileFile(
      "os.system of the old format", archive: legacy(Pickle.global("posix", "system") + ascii(")R.")),
      complaint: "the state dict, byte 2: refused: the name posix.system (opcode GLOBAL)"),
    HostileFile(
      "a class", Pickle.begin + Pickle.global("argparse", "Namespace") + ascii(")") + [0x81] + ascii("."),
      complaint: "the name argparse.Namespace (opcode GLOBAL)"),
    HostileFile(
      "eval under torch", Pickle.begin + Pickle.global("torch", "load") + ascii("."),
      complaint: "the name torch.load (opcode GLOBAL)"),
    HostileFile(
      "a crafted reduce", Pickle.begin + Pickle.text("x") + ascii(")R."),
      complaint: "REDUCE of \"x\", which is no known function"),
    HostileFile(
      "a reduce of a storage", Pickle.begin + Pickle.global("torch", "FloatStorage") + ascii(")R."),
      complaint: "REDUCE of a type of storage"),
    HostileFile(
      "a reduce with other arguments",
      Pickle.begin + Pickle.global("torch._utils", "_rebuild_tensor_v2") + ascii(")R."),
      complaint: "REDUCE of _rebuild_tensor_v2 with something else"),
    HostileFile(
      "NEWOBJ", Pickle.begin + Pickle.global("collections", "OrderedDict") + ascii(")") + [0x81] + ascii("."),
      complaint: "the opcode NEWOBJ"),
    HostileFile("INST", Pickle.begin + ascii("(ios\nsystem\n."), complaint: "the opcode INST"),
    HostileFile(
      "STACK_GLOBAL", Pickle.begin + Pickle.text("os") + Pickle.text("system") + [0x93],
      complaint: "STACK_GLOBAL"),
    HostileFile("EXT1", Pickle.begin + [0x82, 1], complaint: "the opcode EXT1"),
    HostileFile("another protocol", [0x80, 4, 0x95], complaint: "PROTO 4"),
    HostileFile(
      "LONG4 of 2 GB", Pickle.begin + [0x8B, 0xFF, 0xFF, 0xFF, 0x7F], complaint: "the opcode LONG4"),
    HostileFile(
      "LONG1 beyond the file", Pickle.begin + [0x8A, 255, 1], complaint: "the pickle is cut short"),
    HostileFile(
      "a text of 4 GB", Pickle.begin + ascii("X") + [0xFF, 0xFF, 0xFF, 0xFF],
      complaint: "BINUNICODE of 4294967295 bytes is cut short"),
    HostileFile(
      "text that is none", Pickle.begin + ascii("X") + TorchArchive.word(2) + [0xFF, 0xFE] + ascii("."),
      complaint: "BINUNICODE isn't UTF-8"),
    HostileFile(
      "a far memo", Pickle.begin + ascii("}r") + [0xFF, 0xFF, 0xFF, 0xFF], complaint: "LONG_BINPUT 4294967295"
    ),
    HostileFile(
      "an empty memo", Pickle.begin + ascii("h\u{5}"), complaint: "BINGET 5, which nothing put there"),
    HostileFile(
      // Each tuple holds the one before twice: 2^5000 leaves for whoever walks through them.
      "a memo bomb",
      Pickle.begin + ascii(")q\u{0}") + repeated(ascii("h\u{0}h\u{0}") + [0x86] + ascii("q\u{0}"), 5000)
        + ascii("."),
      complaint: "STOP with 5001 values on the stack"),
    HostileFile(
      "a memo bomb alone",
      Pickle.begin + ascii(")") + repeated(ascii("q\u{0}h\u{0}") + [0x86], 100_000) + ascii("."),
      complaint: "holds a tuple, expects a state dict"),
    HostileFile(
      "deep nesting", Pickle.begin + repeated(ascii("("), 100_000) + ascii("."),
      complaint: "MARK inside 1000 others"),
    HostileFile(
      "a dict in itself", Pickle.begin + ascii("}q\u{0}") + Pickle.text("state_dict") + ascii("h\u{0}s."),
      complaint: "holds no tensors"),
    HostileFile(
      "two million values", Pickle.begin + repeated(ascii("N"), 2_000_000),
      complaint: "more than 1000000 values"),
    HostileFile(
      "nothing to take", Pickle.begin + ascii("R."), complaint: "REDUCE expects 2 values on the stack"),
    HostileFile("no mark", Pickle.begin + ascii("t."), complaint: "TUPLE expects a MARK before it"),
    HostileFile(
      "a take below a mark", Pickle.begin + ascii("N(") + [0x85] + ascii("."),
      complaint: "TUPLE1 expects 1 values"),
    HostileFile("no end", Pickle.begin + ascii("}"), complaint: "the pickle is cut short"),
    HostileFile(
      "attributes of a tensor", Pickle.begin + ascii(")}b."), complaint: "BUILD of a tuple"),
    HostileFile(
      "a persistent name", Pickle.begin + Pickle.tuple(Pickle.text("module")) + ascii("Q."),
      complaint: "BINPERSID with something else than a storage"),
  ]

  private static let floats = [[UInt8](repeating: 0, count: 16)]

  private static func tensor(
    _ name: String, count: Int = 4, offset: Int = 0, size: [Int], strides: [Int], complaint: String
  ) -> HostileFile {
    let tensor = Pickle.tensor(Pickle.storage(count: count), offset: offset, size: size, strides: strides)
    return HostileFile(name, Pickle.dictionary([("w", tensor)]), storages: floats, complaint: complaint)
  }

  static let tensors: [HostileFile] = [
    tensor("too long", size: [5], strides: [1], complaint: "beyond its storage of 4 elements"),
    tensor("too far", offset: 2, size: [3], strides: [1], complaint: "beyond its storage"),
    tensor("strides beyond", size: [2, 2], strides: [3, 1], complaint: "beyond its storage"),
    tensor("an offset before", offset: -1, size: [1], strides: [1], complaint: "beyond its storage"),
    tensor("a stride backward", offset: 3, size: [2], strides: [-1], complaint: "beyond its storage"),
    tensor("one element 2³⁰ times", size: [1 << 30], strides: [0], complaint: "beyond its storage"),
    tensor(
      "2¹²⁰ elements", size: [1 << 30, 1 << 30, 1 << 30, 1 << 30], strides: [1, 1, 1, 1],
      complaint: "beyond its storage"),
    tensor("a negative extent", size: [-4], strides: [1], complaint: "beyond its storage"),
    tensor(
      "a storage larger than its entry", count: 5, size: [4], strides: [1],
      complaint: "storage 0 expects 5 F32 elements, got 16 bytes"),
    tensor(
      "nine axes", size: Array(repeating: 1, count: 9), strides: Array(repeating: 1, count: 9),
      complaint: "REDUCE of _rebuild_tensor_v2 with something else"),
    HostileFile(
      "a storage that isn't there",
      Pickle.dictionary([("w", Pickle.tensor(Pickle.storage("../7", count: 4), size: [4], strides: [1]))]),
      storages: floats, complaint: "lacks the storage a/data/../7"),
    HostileFile(
      "a name twice",
      Pickle.dictionary(
        repeatElement(("w", Pickle.tensor(Pickle.storage(count: 4), size: [4], strides: [1])), count: 2).map(
          \.self)),
      storages: floats, complaint: "holds two arrays named w"),
    HostileFile(
      "a storage of two types",
      Pickle.dictionary([
        ("w", Pickle.tensor(Pickle.storage(count: 4), size: [4], strides: [1])),
        ("v", Pickle.tensor(Pickle.storage(count: 4, type: "DoubleStorage"), size: [4], strides: [1])),
      ]), storages: floats, complaint: "storage 0 of another type or length"),
  ]

  private static let whole = TorchArchive(
    pickle: Pickle.dictionary([("w", Pickle.tensor(Pickle.storage(count: 4), size: [4], strides: [1]))]),
    storages: floats)

  static let archives: [HostileFile] = [
    HostileFile(
      "a zip bomb", archive: TorchArchive(pickle: [0x4B, 0x4C], method: 8).bytes,
      complaint: "the entry a/data.pkl is compressed or encrypted (method 8)"),
    HostileFile(
      "no pickle",
      archive: {
        var archive = whole
        archive.entries[0].name = "a/other"
        return archive.bytes
      }(), complaint: "without data.pkl"),
    HostileFile(
      "an entry twice",
      archive: {
        var archive = whole
        archive.entries.append(archive.entries[0])
        return archive.bytes
      }(), complaint: "two entries named a/data.pkl"),
    HostileFile(
      "a big-endian machine",
      archive: {
        var archive = whole
        archive.entries[1].bytes = ascii("big")
        return archive.bytes
      }(), complaint: "big-endian"),
    HostileFile("a bare beginning", archive: [0x50, 0x4B, 3, 4], complaint: "its directory is missing"),
    HostileFile(
      "a directory beyond the file",
      archive: Array(whole.bytes.dropLast(6)) + TorchArchive.word(1 << 30) + [0, 0],
      complaint: "reaches beyond the file"),
    HostileFile(
      "a pickle alone", archive: Pickle.begin + ascii("}."),
      complaint: "a pickle that torch.save didn't write"),
  ]

  /// A file of the old format with this state dict.
  private static func legacy(_ pickle: [UInt8]) -> [UInt8] {
    let magic: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    return magic + Pickle.end + [0x80, 2] + ascii("M") + TorchArchive.half(1001) + Pickle.end
      + [0x80, 2] + ascii("}.") + Pickle.begin + pickle
  }
}
