import Collectives
import Foundation
import XCTest

/// The job that the test process is part of: one rank under mpirun, or a single process.
/// MPI can be started once in a process, so all tests share this, and it ends with the test bundle.
enum Job {
  // Tests run one after the other on the main thread.
  nonisolated(unsafe) static let communicator: Communicator = {
    do {
      let communicator = try Communicator.start(environment: ProcessInfo.processInfo.environment)
      XCTestObservationCenter.shared.addTestObserver(Ending())
      return communicator
    } catch {
      preconditionFailure("the test job can't start: \(error)")
    }
  }()

  private final class Ending: NSObject, XCTestObservation {
    func testBundleDidFinish(_ testBundle: Bundle) {
      do { try Job.communicator.finish() } catch { preconditionFailure("\(error)") }
    }
  }
}
