import CKernels
import Glibc
import Synchronization

/// A block of zeros that other processes of this machine can map.
final class SharedMemory: @unchecked Sendable {
  let bytes: Int
  let start: UnsafeMutableRawPointer
  /// The descriptor by which others find the block, until `close`.
  private var file: Int32?

  /// nil where the system refuses.
  init?(creating bytes: Int) {
    var (file, memory): (Int32, UnsafeMutableRawPointer?) = (-1, nil)
    guard cnn_shared_memory_create(bytes, &file, &memory) == 0, let memory else { return nil }
    (self.bytes, start, self.file) = (bytes, memory, file)
  }

  /// The block that another process created; nil where it can't be reached.
  init?(process: Int, file: Int, bytes: Int) {
    var memory: UnsafeMutableRawPointer?
    guard cnn_shared_memory_map(Int32(process), Int32(file), bytes, &memory) == 0, let memory else {
      return nil
    }
    (self.bytes, start, self.file) = (bytes, memory, nil)
  }

  deinit {
    close()
    cnn_shared_memory_unmap(start, bytes)
  }

  /// The block's descriptor; −1 when it is closed.
  var descriptor: Int { Int(file ?? -1) }

  /// From now on nobody else can map the block; who has, keeps it.
  func close() {
    if let file { _ = Glibc.close(file) }
    file = nil
  }
}

/// Counters that only grow, which threads, or processes that share the memory, watch.
struct Counters: @unchecked Sendable {
  private let first: UnsafeMutablePointer<Atomic<Int>>
  let count: Int

  /// Zeros at `memory`, for this process and those that map it.
  init(initialising memory: UnsafeMutableRawPointer, count: Int) {
    first = memory.bindMemory(to: Atomic<Int>.self, capacity: count)
    for index in 0..<count { (first + index).initialize(to: Atomic(0)) }
    self.count = count
  }

  /// Counters that another process has initialised at `memory`.
  init(at memory: UnsafeMutableRawPointer, count: Int) {
    first = memory.bindMemory(to: Atomic<Int>.self, capacity: count)
    self.count = count
  }

  /// Gives back memory that was allocated for these counters alone.
  func deallocate() { first.deallocate() }

  /// Everything that was written before `set` of this value is seen by who loads it.
  func load(_ index: Int) -> Int { first[index].load(ordering: .acquiring) }
  func set(_ index: Int, _ value: Int) { first[index].store(value, ordering: .releasing) }
  /// The value after the addition.
  func increment(_ index: Int) -> Int {
    first[index].wrappingAdd(1, ordering: .acquiringAndReleasing).newValue
  }
}
