import CKernels
import Glibc
import Synchronization

/// A value behind a mutex that threads can wait on. The standard library has no condition variable,
/// so pthread's stands here, and nowhere else.
package final class Monitor<Value>: @unchecked Sendable {
  private var value: Value
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init(_ value: Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` alone on the value and wakes everyone who waits for a change.
  package func update<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return try body(&value)
  }

  /// Runs `body` alone on the value, as soon as `condition` holds for it.
  package func wait<Result>(until condition: (Value) -> Bool, then body: (inout Value) throws -> Result)
    rethrows
    -> Result
  {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    while !condition(value) { pthread_cond_wait(changed, mutex) }
    return try body(&value)
  }
}

/// How a lane waits for others that are nearly done: it yields its core for some milliseconds before it sleeps.
/// Waking up takes a tenth of a millisecond or more, up to one on a virtual core, which the host has given away
/// meanwhile, and lanes meet at every step.
package struct Patience {
  private var end = 0.0

  package init() {}

  /// Whether to try again at once; else the caller should sleep.
  package mutating func yields() -> Bool {
    let now = monotonicSeconds()
    if end == 0 { end = now + 0.005 }
    guard now < end else { return false }
    sched_yield()
    return true
  }
}

/// A thread that computes: denormals are flushed on it, and it can be joined.
package final class WorkerThread: Sendable {
  private let handle: pthread_t

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  package init(_ run: @escaping @Sendable () -> Void) {
    var handle = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 8 << 20)
    let body = Unmanaged.passRetained(Body(run))
    let status = pthread_create(
      &handle, &attributes,
      { argument in
        guard let argument else { return nil }
        cnn_flush_denormals()
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    precondition(status == 0, "can't start a thread: \(String(cString: strerror(status)))")
    pthread_attr_destroy(&attributes)
    self.handle = handle
  }

  package func join() { pthread_join(handle, nil) }
}

/// A fixed team of threads that run the same work side by side; the caller is member 0.
package final class ThreadTeam: Sendable {
  private struct Order {
    var number = 0
    var stopped = false
    var work: Work?
  }

  /// In a struct, since a bare function would be wrapped anew, and allocated, whenever generic code hands it on.
  private struct Work {
    let run: @Sendable (Int) -> Void
  }

  /// What the team watches before it sleeps on the order: members the number of the last one, the caller how many
  /// are still at it.
  private final class Signals: Sendable {
    let number = Atomic(0)
    let unfinished = Atomic(0)
  }

  package let count: Int
  private let order = Monitor(Order())
  private let signals = Signals()
  private let threads: [WorkerThread]

  package init(count: Int) {
    precondition(count > 0, "a team expects at least one member, got \(count)")
    self.count = count
    let (order, signals) = (order, signals)
    threads = (1..<max(1, count)).map { member in
      WorkerThread {
        var done = 0
        while true {
          var patience = Patience()
          while signals.number.load(ordering: .acquiring) == done, patience.yields() {}
          let work = order.wait(until: { $0.stopped || $0.number > done }) { order -> Work? in
            done = order.number
            return order.stopped ? nil : order.work
          }
          guard let work else { return }
          work.run(member)
          let last = signals.unfinished.subtract(1, ordering: .releasing).newValue == 0
          if last { order.update { _ in } }  // wakes the caller
        }
      }
    }
  }

  deinit {
    order.update { $0.stopped = true }
    for thread in threads { thread.join() }
  }

  /// Runs `work(member)` on every member and returns when all are done.
  package func run(_ work: @escaping @Sendable (Int) -> Void) {
    guard count > 1 else { return work(0) }
    signals.unfinished.store(count - 1, ordering: .relaxed)
    order.update {
      $0.number += 1
      $0.work = Work(run: work)
    }
    signals.number.add(1, ordering: .releasing)
    work(0)
    var patience = Patience()
    while signals.unfinished.load(ordering: .acquiring) > 0, patience.yields() {}
    order.wait(until: { _ in signals.unfinished.load(ordering: .acquiring) == 0 }) { $0.work = nil }
  }
}
