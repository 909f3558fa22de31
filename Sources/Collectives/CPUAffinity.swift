import CKernels
import Glibc

/// A logical CPU and the physical core that it is a hardware thread of.
package struct LogicalCPU: Hashable, Sendable {
  package let id: Int
  /// The lowest CPU number of its core.
  package let core: Int

  package init(id: Int, core: Int) {
    (self.id, self.core) = (id, core)
  }
}

/// On which CPUs the calling thread may run.
package enum CPUAffinity {
  /// Room for more CPUs than any kernel is built for.
  private static let capacity = 1 << 16

  /// The CPUs that the calling thread may run on, ascending.
  package static var current: [Int] {
    withMask { mask in
      let problem = cnn_affinity_get(mask, capacity / 8)
      precondition(
        problem == 0, "can't read this thread's CPU affinity: \(String(cString: strerror(problem)))")
      return (0..<capacity).filter { mask[$0 / 8] & 1 << ($0 % 8) != 0 }
    }
  }

  /// Lets the calling thread run on these CPUs only; threads that it starts later inherit that. False
  /// where the system refuses: the thread then runs where it did, which is slower at worst.
  @discardableResult
  package static func bindCallingThread(to cpus: [Int]) -> Bool {
    withMask { mask in
      for cpu in cpus where cpu >= 0 && cpu < capacity { mask[cpu / 8] |= 1 << (cpu % 8) }
      return cnn_affinity_set(mask, capacity / 8) == 0
    }
  }

  /// The CPUs that the system would let the calling thread run on if nobody had bound it: what
  /// mpirun's binding hides, without what belongs to other jobs' cpusets.
  package static var unbound: [Int] {
    let bound = current
    guard bindCallingThread(to: Array(0..<capacity)) else { return bound }
    defer { bindCallingThread(to: bound) }
    return current
  }

  /// Tells which CPUs share a core, from sysfs under `root`; a CPU of unknown topology is a core.
  package static func topology(of cpus: [Int], root: String = "") -> [LogicalCPU] {
    cpus.map { cpu in
      let path = "\(root)/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list"
      return LogicalCPU(id: cpu, core: kernelText(path).flatMap(CPUList.parse)?.min() ?? cpu)
    }
  }

  private static func withMask<Result>(_ body: (UnsafeMutablePointer<UInt8>) -> Result) -> Result {
    let alignment = MemoryLayout<UInt64>.alignment
    return withUnsafeTemporaryAllocation(byteCount: capacity / 8, alignment: alignment) { memory in
      let mask = memory.initializeMemory(as: UInt8.self, repeating: 0)
      guard let first = mask.baseAddress else { preconditionFailure("no room for a CPU mask") }
      return body(first)
    }
  }
}
