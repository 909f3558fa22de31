import Tensors

/// How samples that nobody assigned are shared out over train, val and test: class by class, in an order
/// that follows from the seed alone.
package struct SplitRule: Sendable, Equatable {
  package var validation: Double
  package var test: Double
  package var seed: UInt64

  package init(validation: Double = 0.15, test: Double = 0.15, seed: UInt64 = 42) {
    precondition(
      validation >= 0 && test >= 0 && validation + test < 1,
      "a split expects parts of at least 0 that leave some to train, got \(validation) and \(test)")
    self.validation = validation
    self.test = test
    self.seed = seed
  }

  /// The split of each of `count` samples of class `label`, which are in byte order of their paths.
  package func assign(count: Int, label: Int) -> [Split] {
    var testCount = Int((Double(count) * test).rounded())
    var validationCount = Int((Double(count) * validation).rounded())
    while count > 0 && testCount + validationCount >= count {
      if testCount > validationCount { testCount -= 1 } else { validationCount -= 1 }
    }
    var splits = [Split](repeating: .train, count: count)
    let order = RandomStream(seed: seed, purpose: .split, position: label).permutation(count: count)
    for index in order.prefix(testCount) { splits[index] = .test }
    for index in order.dropFirst(testCount).prefix(validationCount) { splits[index] = .val }
    return splits
  }

  /// The samples with their splits replaced.
  func assign(_ samples: [Sample], classCount: Int) -> [Sample] {
    var result = samples.sorted { inByteOrder($0.path, $1.path) }
    for label in 0..<classCount {
      let members = result.indices.filter { result[$0].label == label }
      for (index, split) in zip(members, assign(count: members.count, label: label)) {
        result[index].split = split
      }
    }
    return result
  }
}
