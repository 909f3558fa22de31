import Glibc
import Synchronization

/// SIGINT, SIGTERM and SIGUSR1 (Slurm's warning before the time limit) ask training to finish the
/// step, write a checkpoint and end; a second signal ends the process at once with 128 + its number.
///
/// A signal reaches one process, maybe not all: the trainer agrees on it by
/// `communicator.maximum(Int(StopSignals.requested ?? 0))` in every step.
package enum StopSignals {
  package static let handled = [SIGINT, SIGTERM, SIGUSR1]

  /// The first signal that came, or 0. A handler may touch nothing but lock-free atomics.
  private static let received = Atomic<Int32>(0)

  /// The signal that came since `install`; nil as long as there is none.
  package static var requested: Int32? {
    let signal = received.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }

  /// From now on the signals are requests. A signal that the process was told to ignore (nohup) stays
  /// ignored.
  package static func install() {
    received.store(0, ordering: .relaxed)
    for signal in handled {
      var before = sigaction()
      guard sigaction(signal, nil, &before) == 0, !isIgnored(before) else { continue }
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { signal in
        let first = StopSignals.received.compareExchange(expected: 0, desired: signal, ordering: .relaxed)
          .exchanged
        if !first { _exit(128 + signal) }
      }
      // Reads and writes that the signal interrupts go on.
      action.sa_flags = SA_RESTART
      sigaction(signal, &action, nil)
    }
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }
}
