import Tensors

extension TorchFile {
  /// What wrappers put before every name: DistributedDataParallel, torch.compile, and both.
  private static let wrappers = ["module.", "_orig_mod."]

  /// The arrays by the names that the network's own modules have, and what was taken off.
  func plainlyNamed() -> (arrays: [StoredArray], remarks: [String]) {
    var (arrays, remarks) = (arrays, remarks)
    var isFound = true
    while isFound {
      isFound = false
      for wrapper in Self.wrappers where !arrays.isEmpty && arrays.allSatisfy({ $0.name.hasPrefix(wrapper) })
      {
        arrays = arrays.map {
          var array = $0
          array.name = String($0.name.dropFirst(wrapper.count))
          return array
        }
        remarks.append("\"\(wrapper)\" is taken off all names")
        isFound = true
      }
    }
    return (arrays, remarks)
  }
}
