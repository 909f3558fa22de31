import Glibc

/// A block of floats on a 64-byte border that lives as long as the object: activations, gradients
/// and scratch of one lane, or the flat values of a network.
///
/// Ownership rule, which the compiler can't see: at any moment a range of a buffer is written by one
/// thread only, and whoever reads it later is separated from that write by `ThreadTeam.run`, a
/// `Monitor` or a join.
package final class FloatBuffer: @unchecked Sendable {
  package let count: Int
  package let pointer: UnsafeMutablePointer<Float>
  /// What keeps the memory alive, where it isn't this buffer's own.
  private let owner: AnyObject?

  private static let hugePage = 2 << 20

  /// A buffer of `count` zeros. The kernel is asked for huge pages where it fills some: steps of the seed CNN
  /// take 2 to 3 % less time with them.
  package init(count: Int) {
    self.count = count
    let bytes = max(64, (count * MemoryLayout<Float>.stride + 63) / 64 * 64)
    let isLarge = bytes >= 2 * Self.hugePage
    var memory: UnsafeMutableRawPointer?
    let status = posix_memalign(&memory, isLarge ? Self.hugePage : 64, bytes)
    guard status == 0, let memory else { preconditionFailure("out of memory: \(bytes) bytes wanted") }
    // A kernel that refuses leaves small pages, which is no error.
    if isLarge { madvise(memory, bytes / Self.hugePage * Self.hugePage, MADV_HUGEPAGE) }
    memset(memory, 0, bytes)
    pointer = memory.bindMemory(to: Float.self, capacity: bytes / MemoryLayout<Float>.stride)
    owner = nil
  }

  /// A buffer in memory that belongs to `owner`, on a 64-byte border.
  package init(count: Int, at pointer: UnsafeMutablePointer<Float>, of owner: AnyObject) {
    self.count = count
    self.pointer = pointer
    self.owner = owner
  }

  package convenience init(_ values: [Float]) {
    self.init(count: values.count)
    pointer.update(from: values, count: values.count)
  }

  deinit { if owner == nil { free(pointer) } }

  package var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

  package subscript(index: Int) -> Float {
    get { pointer[index] }
    set { pointer[index] = newValue }
  }

  package func clear() { memset(pointer, 0, count * MemoryLayout<Float>.stride) }
}
