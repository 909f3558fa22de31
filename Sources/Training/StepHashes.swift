import Tensors

/// What a few steps of a run computed: hashes of every array after every step, to be compared between
/// numbers of ranks and lanes.
package struct StepHashes: Codable, Equatable, Sendable {
  /// What is hashed, in the order in which a step makes it. `averages` are of the weights, where they are kept.
  package enum Quantity: String, Codable, CaseIterable, Sendable {
    case statistics, gradients, weights, averages
  }

  package struct Array: Codable, Equatable, Sendable {
    package let name: String
    package let quantity: Quantity
    /// One for each step.
    package fileprivate(set) var hashes: [String]
  }

  package let model: String
  package let instructionSet: String
  package let blasKernel: String
  /// Steps that were run: fewer than asked for where the run has fewer.
  package private(set) var steps = 0
  /// In the order in which a step makes them.
  package private(set) var arrays: [Array]

  init(_ job: TrainingJob) {
    model = job.config.modelName
    instructionSet = job.place.kernels.rawValue
    blasKernel = GEMM.kernelName
    arrays = Verification.arrays(of: job, gradients: job.step.values).map {
      Array(name: $0.name, quantity: $0.quantity, hashes: [])
    }
  }

  /// The hashes of all arrays after one more step.
  mutating func add(_ hashes: [ContentHash]) {
    precondition(
      hashes.count == arrays.count, "\(arrays.count) arrays expect as many hashes, got \(hashes.count)")
    for index in arrays.indices { arrays[index].hashes.append("\(hashes[index])") }
    steps += 1
  }

  package func has(_ quantity: Quantity) -> Bool { arrays.contains { $0.quantity == quantity } }

  /// Where a run differs first.
  package struct Difference: Codable, Equatable, Sendable {
    /// Counted from 0.
    package let step: Int
    package let quantity: Quantity
    package let array: String

    package init(step: Int, quantity: Quantity, array: String) {
      (self.step, self.quantity, self.array) = (step, quantity, array)
    }
  }

  /// The first step in which the other run has other bits, and in it the first array that a step makes. Nil
  /// where all are equal.
  package func firstDifference(from other: StepHashes) -> Difference? {
    precondition(arrays.count == other.arrays.count, "runs of one configuration have the same arrays")
    for step in 0..<max(steps, other.steps) {
      for (mine, theirs) in zip(arrays, other.arrays) {
        let hashes = [mine, theirs].map { $0.hashes.indices.contains(step) ? $0.hashes[step] : "" }
        if hashes[0] != hashes[1] {
          return Difference(step: step, quantity: mine.quantity, array: mine.name)
        }
      }
    }
    return nil
  }

  /// The quantities in which any step differs.
  package func differingQuantities(from other: StepHashes) -> Set<Quantity> {
    Set(zip(arrays, other.arrays).filter { $0.hashes != $1.hashes }.map(\.0.quantity))
  }
}
