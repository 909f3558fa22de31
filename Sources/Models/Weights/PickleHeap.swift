import Tensors

/// A value on an unpickler's stack. Whatever has parts lies in the heap and is named by its number, so values can
/// stand in each other in any depth, or in themselves, and nothing here ever recurses.
enum PickleValue: Hashable {
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  /// Something in Python that a pickle names; what of it is known, `PickleGlobal` says.
  case global(PickleGlobal)
  case object(Int)
}

/// The names in Python that a state dict needs.
enum PickleGlobal: Hashable {
  case orderedDict
  case rebuildTensor
  case rebuildParameter
  case storage(Safetensors.ElementType)

  init?(module: String, name: String) {
    switch (module, name) {
    case ("collections", "OrderedDict"): self = .orderedDict
    case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
    case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
    case ("torch", let name):
      guard let type = Self.storages[name] else { return nil }
      self = .storage(type)
    default: return nil
    }
  }

  private static let storages: [String: Safetensors.ElementType] = [
    "DoubleStorage": .float64, "FloatStorage": .float32, "HalfStorage": .float16,
    "BFloat16Storage": .bfloat16,
    "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8,
    "ByteStorage": .uint8, "BoolStorage": .bool,
  ]
}

/// The objects that a pickle has made.
struct PickleHeap {
  struct Storage {
    let key: String
    let type: Safetensors.ElementType
    /// Elements.
    let count: Int
  }

  struct Tensor {
    let storage: Storage
    /// In elements of the storage.
    let offset: Int
    let size: [Int]
    let strides: [Int]
  }

  enum Object {
    case tuple([PickleValue])
    case list([PickleValue])
    /// In the order in which they were set.
    case dictionary([(key: PickleValue, value: PickleValue)])
    case storage(Storage)
    case tensor(Tensor)
  }

  var objects: [Object] = []

  mutating func add(_ object: Object) -> PickleValue {
    objects.append(object)
    return .object(objects.count - 1)
  }

  subscript(value: PickleValue) -> Object? {
    guard case .object(let index) = value else { return nil }
    return objects[index]
  }

  func tensor(_ value: PickleValue) -> Tensor? {
    guard case .tensor(let tensor)? = self[value] else { return nil }
    return tensor
  }

  func pairs(of value: PickleValue) -> [(key: PickleValue, value: PickleValue)]? {
    guard case .dictionary(let pairs)? = self[value] else { return nil }
    return pairs
  }

  func items(of value: PickleValue) -> [PickleValue]? {
    switch self[value] {
    case .tuple(let items), .list(let items): items
    default: nil
    }
  }

  func value(of key: String, in dictionary: PickleValue) -> PickleValue? {
    pairs(of: dictionary)?.last { $0.key == .text(key) }?.value
  }

  /// At most `limit` whole numbers of a tuple or list.
  func integers(of value: PickleValue, limit: Int) -> [Int]? {
    guard let items = items(of: value), items.count <= limit else { return nil }
    let numbers = items.compactMap { item -> Int? in
      guard case .integer(let number) = item else { return nil }
      return number
    }
    return numbers.count == items.count ? numbers : nil
  }

  /// What a value is, without what is in it.
  func words(for value: PickleValue) -> String {
    switch value {
    case .none: "None"
    case .bool(let flag): flag ? "True" : "False"
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .text(let text): "\"\(text.count > 60 ? text.prefix(60) + "…" : text)\""
    case .global: "a name"
    case .object(let index):
      switch objects[index] {
      case .tuple: "a tuple"
      case .list: "a list"
      case .dictionary: "a dict"
      case .storage: "a storage"
      case .tensor: "a tensor"
      }
    }
  }
}
