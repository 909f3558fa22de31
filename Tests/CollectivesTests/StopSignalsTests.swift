import Collectives
import Glibc
import Testing

#if compiler(>=6.2)
  /// Lets signals reach this thread: tests run on threads that block them.
  private func acceptSignals() {
    var none = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, nil)
  }

  /// Each in a process of its own: signals are the whole process's affair.
  @Suite struct StopSignalsTests {
    @Test func theFirstSignalIsARequest() async {
      await #expect(processExitsWith: .exitCode(40)) {
        acceptSignals()
        StopSignals.install()
        guard StopSignals.requested == nil else { exit(1) }
        raise(SIGUSR1)
        exit(StopSignals.requested == SIGUSR1 ? 40 : 2)
      }
    }

    @Test func theSecondSignalEndsTheProcess() async {
      await #expect(processExitsWith: .exitCode(128 + SIGTERM)) {
        acceptSignals()
        StopSignals.install()
        raise(SIGINT)
        raise(SIGTERM)
        exit(3)
      }
    }

    @Test func ignoredSignalsStayIgnored() async {
      await #expect(processExitsWith: .exitCode(41)) {
        acceptSignals()
        signal(SIGINT, SIG_IGN)
        StopSignals.install()
        raise(SIGINT)
        exit(StopSignals.requested == nil ? 41 : 4)
      }
    }
  }
#endif
