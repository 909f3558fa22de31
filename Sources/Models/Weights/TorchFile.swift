import Tensors

/// The named tensors of a state dict that torch.save wrote.
struct TorchFile {
  var arrays: [StoredArray]
  var remarks: [String] = []
}

extension TorchFile {
  /// A file by torch.save of PyTorch 1.6 or later: a zip archive whose entries are stored as they are,
  /// `NAME/data.pkl` with the state dict, and `NAME/data/KEY` with the elements of each storage.
  init(zip file: MappedFile) throws {
    let archive = try ZipArchive(file)
    guard
      let pickle = archive.entries.first(where: { $0.name == "data.pkl" || $0.name.hasSuffix("/data.pkl") })
    else {
      throw WeightsError(path: file.path, problem: "a zip archive without data.pkl, so not by torch.save")
    }
    let folder = pickle.name.dropLast("data.pkl".count)
    if let order = archive["\(folder)byteorder"] {
      guard Array(file.bytes[try archive.content(of: order)].prefix(7)) == Array("little".utf8) else {
        throw WeightsError(
          path: file.path, problem: "was written on a big-endian machine, which isn't read here")
      }
    }
    let content = try archive.content(of: pickle)
    var unpickler = Unpickler(file, content, called: pickle.name)
    let top = try unpickler.run()
    let reading = StateDict(heap: unpickler.heap, path: file.path) { storage throws(WeightsError) in
      guard let entry = archive["\(folder)data/\(storage.key)"] else {
        throw WeightsError(path: file.path, problem: "lacks the storage \(folder)data/\(storage.key)")
      }
      return try archive.content(of: entry)
    }
    self = try reading.tensors(of: top)
  }

  /// A file by torch.save before PyTorch 1.6 (torchvision's older weights are such): three pickles that say what
  /// wrote it, the state dict, the keys of its storages, then of each storage its length and its elements.
  init(legacy file: MappedFile) throws {
    func refuse(_ problem: String) -> WeightsError { WeightsError(path: file.path, problem: problem) }
    var begin = 0
    func next(_ name: String) throws -> (Unpickler, PickleValue) {
      var unpickler = Unpickler(file, begin..<file.bytes.count, called: name)
      let value = try unpickler.run()
      begin = unpickler.position
      return (unpickler, value)
    }
    guard file.bytes.starts(with: Self.legacyMagic) else {
      throw refuse(
        "a pickle that torch.save didn't write; save a state dict by torch.save(model.state_dict(), path)")
    }
    _ = try next("the magic number")
    _ = try next("the protocol")
    let (system, facts) = try next("the writer's system")
    if system.heap.value(of: "little_endian", in: facts) == .bool(false) {
      throw refuse("was written on a big-endian machine, which isn't read here")
    }
    let (unpickler, top) = try next("the state dict")
    let (keyHeap, keyList) = try next("the keys of storages")
    var places: [String: Range<Int>] = [:]
    for case .text(let key) in keyHeap.heap.items(of: keyList) ?? [] {
      guard let type = unpickler.storages[key]?.type, begin <= file.bytes.count - 8 else {
        throw refuse("storage \(key) is cut short, or nobody's")
      }
      let count = Int64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: begin, as: Int64.self))
      begin += 8
      guard count >= 0, count <= Int64((file.bytes.count - begin) / type.byteCount) else {
        throw refuse("storage \(key) of \(count) \(type.rawValue) elements is cut short")
      }
      let end = begin + Int(count) * type.byteCount
      guard places.updateValue(begin..<end, forKey: key) == nil else {
        throw refuse("holds storage \(key) twice")
      }
      begin = end
    }
    let reading = StateDict(heap: unpickler.heap, path: file.path) { storage throws(WeightsError) in
      guard let place = places[storage.key] else { throw refuse("lacks the storage \(storage.key)") }
      return place
    }
    self = try reading.tensors(of: top)
  }

  /// PROTO 2, and LONG1 of 10 bytes, 0x1950a86a20f9469cfc6c.
  private static let legacyMagic: [UInt8] = [
    0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19,
  ]
}
