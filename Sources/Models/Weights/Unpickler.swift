import Tensors

/// Reads a pickle as torch.save writes it (protocol 2): exactly the opcodes that a state dict needs, and of the
/// names in Python those in `PickleGlobal`. Everything else is refused by its name.
///
/// A pickle is a program for a stack machine (Python's Lib/pickletools.py describes it). Here an opcode makes a
/// value or puts values together; none calls anything. Each byte of the pickle makes at most a value, and the
/// limits below bound what a hostile one can ask for.
struct Unpickler {
  /// More than any state dict has: torchvision's largest takes a few hundred kilobytes and thousands of objects.
  private enum Limit {
    static let objects = 1_000_000
    static let stack = 1_000_000
    static let memo = 1_000_000
    static let marks = 1_000
    static let steps = 20_000_000
  }

  private let bytes: UnsafeRawBufferPointer
  private let file: MappedFile
  private let begin: Int
  private let end: Int
  /// What messages call it.
  private let name: String
  /// Of the next byte in the file.
  private(set) var position: Int
  private(set) var heap = PickleHeap()
  /// By key.
  private(set) var storages: [String: PickleHeap.Storage] = [:]
  private var stack: [PickleValue] = []
  /// How high the stack was when each open MARK was set.
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]
  private var opcodeAt = 0

  init(_ file: MappedFile, _ range: Range<Int>, called name: String) {
    self.file = file
    bytes = file.bytes
    (begin, position, end) = (range.lowerBound, range.lowerBound, range.upperBound)
    self.name = name
  }

  /// What the pickle makes. Throws `WeightsError`.
  mutating func run() throws(WeightsError) -> PickleValue {
    for _ in 0..<Limit.steps {
      opcodeAt = position
      let opcode = try byte()
      if opcode == UInt8(ascii: ".") {
        guard stack.count == 1, marks.isEmpty, let top = stack.popLast() else {
          throw refuse("STOP with \(stack.count) values on the stack, expects 1")
        }
        return top
      }
      try execute(opcode)
      guard stack.count <= Limit.stack, heap.objects.count <= Limit.objects else {
        throw refuse(
          "\(Self.name(of: opcode)) makes more than \(Limit.objects) values, more than any state dict has")
      }
    }
    throw refuse("more than \(Limit.steps) opcodes, more than any state dict has")
  }

  private mutating func execute(_ opcode: UInt8) throws(WeightsError) {
    switch opcode {
    case 0x80:
      let version = try byte()
      guard version == 2 else {
        throw refuse("PROTO \(version); torch.save writes protocol 2, and only that is read")
      }
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.integer(Int(try byte())))
    case UInt8(ascii: "M"): stack.append(.integer(Int(UInt16(littleEndian: try fixed()))))
    case UInt8(ascii: "J"): stack.append(.integer(Int(Int32(littleEndian: try fixed()))))
    case 0x8A: stack.append(.integer(try long1()))
    case UInt8(ascii: "G"): stack.append(.number(Double(bitPattern: UInt64(bigEndian: try fixed()))))
    case UInt8(ascii: "X"): stack.append(.text(try text(Int(UInt32(littleEndian: try fixed())))))
    case UInt8(ascii: "c"): try global()
    case UInt8(ascii: ")"): push(.tuple([]))
    case UInt8(ascii: "]"): push(.list([]))
    case UInt8(ascii: "}"): push(.dictionary([]))
    case UInt8(ascii: "("):
      guard marks.count < Limit.marks else { throw refuse("MARK inside \(marks.count) others") }
      marks.append(stack.count)
    case UInt8(ascii: "t"): push(.tuple(try popToMark()))
    case 0x85: push(.tuple(try pop(1)))
    case 0x86: push(.tuple(try pop(2)))
    case 0x87: push(.tuple(try pop(3)))
    case UInt8(ascii: "a"): try append(try pop(1))
    case UInt8(ascii: "e"): try append(try popToMark())
    case UInt8(ascii: "s"): try set(try pop(2))
    case UInt8(ascii: "u"): try set(try popToMark())
    case UInt8(ascii: "q"): try remember(Int(try byte()))
    case UInt8(ascii: "r"): try remember(Int(UInt32(littleEndian: try fixed())))
    case UInt8(ascii: "h"): stack.append(try remembered(Int(try byte())))
    case UInt8(ascii: "j"): stack.append(try remembered(Int(UInt32(littleEndian: try fixed()))))
    case UInt8(ascii: "Q"): try persistent(try pop(1)[0])
    case UInt8(ascii: "R"): try reduce(try pop(2))
    case UInt8(ascii: "b"): try build(try pop(2))
    default:
      throw refuse("the opcode \(Self.name(of: opcode)), which no state dict needs")
    }
  }

  // MARK: What an opcode does

  /// A name in Python. Known ones become values; none is looked up, let alone run.
  private mutating func global() throws(WeightsError) {
    let module = try line()
    let name = try line()
    guard let known = PickleGlobal(module: module, name: name) else {
      throw refuse(
        "the name \(module).\(name) (opcode GLOBAL), and only tensors are read; nothing was run. "
          + "Save the weights alone: torch.save(model.state_dict(), path)")
    }
    stack.append(.global(known))
  }

  /// A storage, `('storage', type, key, location, count)`, of old files with a view behind, which must be None.
  private mutating func persistent(_ value: PickleValue) throws(WeightsError) {
    guard let parts = heap.items(of: value), parts.count == 5 || (parts.count == 6 && parts[5] == .none),
      parts[0] == .text("storage"), case .global(.storage(let type)) = parts[1],
      case .text(let key) = parts[2],
      case .text = parts[3], case .integer(let count) = parts[4], count >= 0
    else { throw refuse("BINPERSID with something else than a storage, its type, key, place and length") }
    let storage = PickleHeap.Storage(key: key, type: type, count: count)
    if let before = storages.updateValue(storage, forKey: key) {
      guard before.type == type, before.count == count else {
        throw refuse("BINPERSID with storage \(key) of another type or length than before")
      }
    }
    push(.storage(storage))
  }

  private mutating func reduce(_ values: [PickleValue]) throws(WeightsError) {
    guard case .global(let function) = values[0], let arguments = heap.items(of: values[1]) else {
      throw refuse("REDUCE of \(heap.words(for: values[0])), which is no known function")
    }
    switch function {
    case .orderedDict:
      guard arguments.isEmpty else { throw refuse("REDUCE of OrderedDict with arguments") }
      push(.dictionary([]))
    case .rebuildParameter:
      guard arguments.count == 3, heap.tensor(arguments[0]) != nil else {
        throw refuse("REDUCE of _rebuild_parameter with something else than a tensor, a flag and hooks")
      }
      stack.append(arguments[0])
    case .rebuildTensor:
      guard arguments.count >= 6, arguments.count <= 7, case .storage(let storage)? = heap[arguments[0]],
        case .integer(let offset) = arguments[1], let size = heap.integers(of: arguments[2], limit: 8),
        let strides = heap.integers(of: arguments[3], limit: 8), size.count == strides.count
      else {
        throw refuse(
          "REDUCE of _rebuild_tensor_v2 with something else than storage, offset, size and strides")
      }
      push(.tensor(PickleHeap.Tensor(storage: storage, offset: offset, size: size, strides: strides)))
    case .storage:
      throw refuse("REDUCE of a type of storage, which is no function of a state dict")
    }
  }

  /// Attributes of an object; a state dict has some (`_metadata`), of which nothing is needed.
  private mutating func build(_ values: [PickleValue]) throws(WeightsError) {
    guard heap.pairs(of: values[0]) != nil, heap.pairs(of: values[1]) != nil else {
      throw refuse("BUILD of \(heap.words(for: values[0])); only an OrderedDict may have attributes")
    }
    stack.append(values[0])
  }

  private mutating func append(_ values: [PickleValue]) throws(WeightsError) {
    guard case .object(let index)? = stack.last, case .list(var items) = heap.objects[index] else {
      throw refuse("APPEND to something else than a list")
    }
    heap.objects[index] = .list([])
    items += values
    heap.objects[index] = .list(items)
  }

  private mutating func set(_ values: [PickleValue]) throws(WeightsError) {
    guard case .object(let index)? = stack.last, case .dictionary(var pairs) = heap.objects[index],
      values.count.isMultiple(of: 2)
    else { throw refuse("SETITEM in something else than a dict") }
    // Taken out meanwhile, so that the items aren't copied.
    heap.objects[index] = .dictionary([])
    for index in stride(from: 0, to: values.count, by: 2) { pairs.append((values[index], values[index + 1])) }
    heap.objects[index] = .dictionary(pairs)
  }

  private mutating func remember(_ number: Int) throws(WeightsError) {
    guard let top = stack.last else { throw refuse("BINPUT with an empty stack") }
    guard number < Limit.memo else {
      throw refuse("LONG_BINPUT \(number), beyond the memo of any state dict")
    }
    memo[number] = top
  }

  private func remembered(_ number: Int) throws(WeightsError) -> PickleValue {
    guard let value = memo[number] else { throw refuse("BINGET \(number), which nothing put there") }
    return value
  }

  private mutating func push(_ object: PickleHeap.Object) { stack.append(heap.add(object)) }

  private mutating func pop(_ count: Int) throws(WeightsError) -> [PickleValue] {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw refuse("\(Self.name(of: bytes[opcodeAt])) expects \(count) values on the stack")
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(WeightsError) -> [PickleValue] {
    guard let mark = marks.popLast() else {
      throw refuse("\(Self.name(of: bytes[opcodeAt])) expects a MARK before it")
    }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  // MARK: What stands in the file

  private mutating func byte() throws(WeightsError) -> UInt8 {
    guard position < end else { throw refuse("the pickle is cut short") }
    defer { position += 1 }
    return bytes[position]
  }

  private mutating func fixed<Number: FixedWidthInteger & BitwiseCopyable>() throws(WeightsError) -> Number {
    guard end - position >= MemoryLayout<Number>.size else { throw refuse("the pickle is cut short") }
    defer { position += MemoryLayout<Number>.size }
    return bytes.loadUnaligned(fromByteOffset: position, as: Number.self)
  }

  /// A whole number of as many bytes as the first says, in two's complement, lowest first.
  private mutating func long1() throws(WeightsError) -> Int {
    let count = Int(try byte())
    guard count <= end - position else { throw refuse("the pickle is cut short") }
    let magnitude = bytes[position..<(position + count)]
    position += count
    // The magic number of old files has 10; all that counts elements fits 8.
    guard count <= 8 else { return .max }
    var value: UInt64 = (magnitude.last ?? 0) & 0x80 == 0 ? 0 : .max
    for byte in magnitude.reversed() { value = value << 8 | UInt64(byte) }
    return Int(Int64(bitPattern: value))
  }

  private mutating func text(_ count: Int) throws(WeightsError) -> String {
    guard count <= end - position else { throw refuse("BINUNICODE of \(count) bytes is cut short") }
    defer { position += count }
    guard let text = String(validating: bytes[position..<(position + count)], as: UTF8.self) else {
      throw refuse("BINUNICODE isn't UTF-8")
    }
    return text
  }

  /// The rest of a line of at most 200 bytes.
  private mutating func line() throws(WeightsError) -> String {
    let rest = bytes[position..<min(end, position + 200)]
    guard let newline = rest.firstIndex(of: UInt8(ascii: "\n")) else {
      throw refuse("GLOBAL with a name that doesn't end")
    }
    defer { position = newline + 1 }
    return String(decoding: bytes[position..<newline], as: UTF8.self)
  }

  private func refuse(_ problem: String) -> WeightsError {
    WeightsError(path: file.path, problem: "\(name), byte \(opcodeAt - begin): refused: \(problem)")
  }

  /// What Python's pickletools calls an opcode.
  private static func name(of opcode: UInt8) -> String {
    names[opcode] ?? "0x" + String(opcode, radix: 16, uppercase: true)
  }

  private static let names: [UInt8: String] = {
    let byLetter: [Character: String] = [
      "I": "INT", "J": "BININT", "K": "BININT1", "M": "BININT2", "L": "LONG", "S": "STRING", "T": "BINSTRING",
      "U": "SHORT_BINSTRING", "B": "BINBYTES", "C": "SHORT_BINBYTES", "N": "NONE", "V": "UNICODE",
      "X": "BINUNICODE", "F": "FLOAT", "G": "BINFLOAT", "]": "EMPTY_LIST", "a": "APPEND", "e": "APPENDS",
      "l": "LIST", ")": "EMPTY_TUPLE", "t": "TUPLE", "}": "EMPTY_DICT", "d": "DICT", "s": "SETITEM",
      "u": "SETITEMS", "0": "POP", "2": "DUP", "(": "MARK", "1": "POP_MARK", "g": "GET", "h": "BINGET",
      "j": "LONG_BINGET", "p": "PUT", "q": "BINPUT", "r": "LONG_BINPUT", "c": "GLOBAL", "R": "REDUCE",
      "b": "BUILD", "i": "INST", "o": "OBJ", "P": "PERSID", "Q": "BINPERSID",
    ]
    let byNumber: [UInt8: String] = [
      0x80: "PROTO", 0x81: "NEWOBJ", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x85: "TUPLE1", 0x86: "TUPLE2",
      0x87: "TUPLE3", 0x88: "NEWTRUE", 0x89: "NEWFALSE", 0x8A: "LONG1", 0x8B: "LONG4",
      0x8C: "SHORT_BINUNICODE", 0x8D: "BINUNICODE8", 0x8E: "BINBYTES8", 0x8F: "EMPTY_SET", 0x90: "ADDITEMS",
      0x91: "FROZENSET", 0x92: "NEWOBJ_EX", 0x93: "STACK_GLOBAL", 0x94: "MEMOIZE", 0x95: "FRAME",
      0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER",
    ]
    var names = byNumber
    for (letter, name) in byLetter { if let code = letter.asciiValue { names[code] = name } }
    return names
  }()
}
