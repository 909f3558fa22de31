import Tensors

/// What a pickle's objects mean: which of them are the named tensors, and where those lie in the file.
struct StateDict {
  let heap: PickleHeap
  let path: String
  /// The bytes of the file that a storage fills.
  let place: (PickleHeap.Storage) throws(WeightsError) -> Range<Int>

  /// Under which training scripts keep a state dict beside other things.
  private static let wrappings = ["state_dict", "model_state_dict", "model", "net"]

  /// The tensors of the state dict itself, or of the one that `top` holds under a usual name.
  func tensors(of top: PickleValue) throws(WeightsError) -> TorchFile {
    if heap.tensor(top) != nil {
      throw refuse("holds a single tensor, expects a state dict (named tensors)")
    }
    guard let pairs = heap.pairs(of: top) else {
      throw refuse("holds \(heap.words(for: top)), expects a state dict (named tensors)")
    }
    if pairs.contains(where: { heap.tensor($0.value) != nil }) { return try tensors(pairs, remarks: []) }
    for name in Self.wrappings {
      guard let inner = pairs.last(where: { $0.key == .text(name) }),
        let pairs = heap.pairs(of: inner.value), pairs.contains(where: { heap.tensor($0.value) != nil })
      else { continue }
      return try tensors(pairs, remarks: ["the arrays are those under \"\(name)\""])
    }
    let keys = pairs.prefix(5).map { heap.words(for: $0.key) }.joined(separator: ", ")
    throw refuse(
      "holds no tensors, neither at the top nor under \(Self.wrappings.joined(separator: ", "))"
        + (keys.isEmpty ? "" : "; it has \(keys)"))
  }

  private func tensors(
    _ pairs: [(key: PickleValue, value: PickleValue)], remarks: [String]
  ) throws(WeightsError) -> TorchFile {
    var found = TorchFile(arrays: [], remarks: remarks)
    var others: [String] = []
    for (key, value) in pairs {
      guard case .text(let name) = key else { throw refuse("names a tensor by \(heap.words(for: key))") }
      guard let tensor = heap.tensor(value) else {
        others.append(name)
        continue
      }
      found.arrays.append(try array(tensor, called: name))
    }
    if let first = others.first {
      let more = others.count == 1 ? "" : " and \(others.count - 1) more"
      found.remarks.append("\(first)\(more) in it: no tensor, left alone")
    }
    return found
  }

  private func array(_ tensor: PickleHeap.Tensor, called name: String) throws(WeightsError) -> StoredArray {
    let storage = tensor.storage
    let place = try place(storage)
    let width = storage.type.byteCount
    guard place.count >= storage.count * width else {
      throw refuse(
        "\(name): storage \(storage.key) expects \(storage.count) \(storage.type.rawValue) elements, "
          + "got \(place.count) bytes")
    }
    let count = tensor.elementCount(limit: storage.count)
    guard let count, let last = tensor.lastElement(count: count), last < storage.count else {
      throw refuse(
        "\(name) of shape \(tensor.size), strides \(tensor.strides) from element \(tensor.offset) reaches "
          + "beyond its storage of \(storage.count) elements")
    }
    let begin = place.lowerBound + (count == 0 ? 0 : tensor.offset * width)
    let end = count == 0 ? begin : place.lowerBound + (last + 1) * width
    return StoredArray(
      name: name, type: storage.type, shape: Shape(tensor.size), bytes: begin..<end,
      strides: tensor.isContiguous ? nil : tensor.strides)
  }

  private func refuse(_ problem: String) -> WeightsError { WeightsError(path: path, problem: problem) }
}

extension PickleHeap.Tensor {
  /// Elements in all; nil where they are more than `limit` (of a view that repeats elements, say) or senseless.
  func elementCount(limit: Int) -> Int? {
    guard size.allSatisfy({ $0 >= 0 }) else { return nil }
    if size.contains(0) { return 0 }
    var count = 1
    for extent in size {
      let (next, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, next <= limit else { return nil }
      count = next
    }
    return count
  }

  /// The furthest element of the storage that is reached; nil where a stride or the offset is senseless.
  func lastElement(count: Int) -> Int? {
    guard offset >= 0, strides.count == size.count, strides.allSatisfy({ $0 >= 0 }) else { return nil }
    guard count > 0 else { return -1 }
    var last = offset
    for (extent, stride) in zip(size, strides) {
      let (reach, tooFar) = (extent - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflow) = last.addingReportingOverflow(reach)
      guard !tooFar, !overflow else { return nil }
      last = sum
    }
    return last
  }

  /// Whether the elements lie row by row.
  var isContiguous: Bool {
    var expected = 1
    for (extent, stride) in zip(size, strides).reversed() where extent != 1 {
      guard stride == expected else { return false }
      expected *= extent
    }
    return true
  }
}
