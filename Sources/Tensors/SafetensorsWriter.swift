import Glibc

extension Safetensors {
  /// Collects arrays and writes them as one file, byte for byte as the reference implementation does:
  /// the header is padded with blanks to a multiple of 8, and wider elements come first, otherwise in
  /// the order in which they were added, so that every array lies on a multiple of its element's size.
  package struct Writer {
    private var entries: [(name: String, type: ElementType, shape: Shape, bytes: [UInt8])] = []
    package var metadata: [(key: String, value: String)] = []

    package init() {}

    package mutating func add(_ name: String, _ tensor: Tensor) {
      add(name, .float32, tensor.shape, tensor.values)
    }

    package mutating func add(_ name: String, shape: Shape, _ values: [Int64]) {
      add(name, .int64, shape, values)
    }

    package mutating func add(_ name: String, shape: Shape, _ values: [UInt8]) {
      add(name, .uint8, shape, values)
    }

    private mutating func add<Element>(
      _ name: String, _ type: ElementType, _ shape: Shape, _ values: [Element]
    ) {
      precondition(
        shape.count == values.count,
        "\(name): shape \(shape) expects \(shape.count) values, got \(values.count)")
      precondition(!entries.contains { $0.name == name }, "two arrays are named \(name)")
      entries.append((name, type, shape, values.withUnsafeBytes { Array($0) }))
    }

    /// The whole file in memory.
    package func encoded() -> [UInt8] {
      let ordered = entries.sorted { $0.type.byteCount > $1.type.byteCount }
      var file = Safetensors.header(of: ordered.map { ($0.name, $0.type, $0.shape) }, metadata: metadata)
      file.reserveCapacity(file.count + ordered.reduce(0) { $0 + $1.bytes.count })
      for entry in ordered { file += entry.bytes }
      return file
    }

    /// Writes the file and waits until it is on the disk. Throws `FileError`.
    package func write(to path: String) throws { try DurableFile.write(encoded(), to: path) }
  }

  /// What stands before the bytes of arrays that follow in this order: wider elements first, so that every array
  /// lies on a multiple of its element's size.
  package static func header(
    of arrays: [(name: String, type: ElementType, shape: Shape)], metadata: [(key: String, value: String)]
  ) -> [UInt8] {
    var header: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.map { "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))" }
      header.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for array in arrays {
      let shape = array.shape.dimensions.map(String.init).joined(separator: ",")
      let end = offset + array.shape.count * array.type.byteCount
      header.append(
        "\(JSONText.quoted(array.name)):{\"dtype\":\"\(array.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(header.joined(separator: ","))}".utf8)
    text += Array(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
  }
}
