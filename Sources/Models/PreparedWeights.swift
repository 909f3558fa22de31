import Layers
import Synchronization
import Tensors

/// What the layers of a network make of its weights before a step (packed, transformed), once for all
/// lanes of a rank, which read it only.
///
/// Either all at once (`prepare`), or node by node as their values arrive: `begin`, then `make` by
/// whichever lane comes first.
package final class PreparedWeights: @unchecked Sendable {
  private let network: Network
  private let values: FloatBuffer
  private let mode: Mode
  private let kernels: InstructionSet
  private let memory: FloatBuffer
  /// Where each node's part begins.
  private let offsets: [Int]
  private let counts: [Int]
  /// Of each node, from which `makeReady` works.
  private let parameters: [[UnsafePointer<Float>]]
  private enum State {
    static let stale = 0
    static let claimed = 1
    static let made = 2
  }
  /// Of each node.
  private let states: UnsafeMutablePointer<Atomic<Int>>

  /// - Parameters:
  ///   - values: the flat parameters, of which `prepare` makes what they hold then.
  ///   - mode: for inference only what forward reads is made.
  package init(_ network: Network, values: FloatBuffer, mode: Mode, kernels: InstructionSet) {
    self.network = network
    self.values = values
    self.mode = mode
    self.kernels = kernels
    counts = Self.counts(for: network, mode: mode, kernels: kernels)
    var offsets: [Int] = []
    var end = 0
    for count in counts {
      offsets.append(end)
      end += Self.room(for: count)
    }
    self.offsets = offsets
    memory = FloatBuffer(count: end)
    parameters = network.nodes.map { $0.parameters.map { UnsafePointer(values.pointer + $0.offset) } }
    states = .allocate(capacity: counts.count)
    for index in counts.indices { (states + index).initialize(to: Atomic(State.made)) }
  }

  /// Floats in all for a network's weights.
  package static func count(for network: Network, mode: Mode, kernels: InstructionSet) -> Int {
    counts(for: network, mode: mode, kernels: kernels).reduce(0) { $0 + room(for: $1) }
  }

  private static func counts(for network: Network, mode: Mode, kernels: InstructionSet) -> [Int] {
    network.nodes.map { node in
      let needs = node.memoryNeeds(images: 1, kernels: kernels)
      return mode == .training ? needs.prepared : needs.prepared - needs.preparedForBackward
    }
  }

  /// A node's part begins on a 64-byte border.
  private static func room(for count: Int) -> Int { (count + 15) / 16 * 16 }

  deinit {
    states.deinitialize(count: counts.count)
    states.deallocate()
  }

  /// Floats in all.
  package var count: Int { memory.count }

  package func pointer(of node: Int) -> UnsafePointer<Float> { UnsafePointer(memory.pointer + offsets[node]) }

  /// The values change, those of frozen nodes only where `constants` says so: what was made of them is stale. While
  /// no lane reads.
  package func begin(constants: Bool = true) {
    for index in counts.indices where counts[index] > 0 && (constants || !network.nodes[index].isFrozen) {
      states[index].store(State.stale, ordering: .releasing)
    }
  }

  /// Makes a node's part ready, unless that was or is being done. Whether it is ready.
  @discardableResult
  package func make(_ node: Int) -> Bool {
    let claim = states[node].compareExchange(
      expected: State.stale, desired: State.claimed, ordering: .acquiringAndReleasing)
    guard claim.exchanged else { return claim.original == State.made }
    makeReady(node)
    states[node].store(State.made, ordering: .releasing)
    return true
  }

  package func isMade(_ node: Int) -> Bool { states[node].load(ordering: .acquiring) == State.made }

  /// Makes ready one part of `parts`, nearly equal in floats; who makes which changes no bit. Nobody may
  /// read until all parts are made.
  package func prepare(part: Int, of parts: Int) {
    let share = (memory.count + parts - 1) / parts
    for index in counts.indices
    where counts[index] > 0 && (offsets[index] + counts[index] / 2) / share == part {
      makeReady(index)
    }
  }

  private func makeReady(_ index: Int) {
    let node = network.nodes[index]
    node.layer.prepare(
      memory.pointer + offsets[index],
      parameters: parameters[index], inputs: node.inputShapes, mode: node.preparation(in: mode),
      kernels: kernels)
  }
}
