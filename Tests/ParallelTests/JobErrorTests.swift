import Collectives
import Training
import XCTest

/// What one rank meets, all throw.
final class JobErrorTests: XCTestCase {
  private let job = Job.communicator

  private struct Trouble: Error, CustomStringConvertible {
    let description: String
  }

  func testTheLowestOfThoseThatFailSpeaks() throws {
    for failing in [[job.size - 1], Array(0..<job.size).suffix(2), Array(0..<job.size)] {
      XCTAssertThrowsError(
        try job.together {
          if failing.contains(job.rank) { throw Trouble(description: "rank \(job.rank) fell over") }
        }
      ) { error in
        XCTAssertEqual("\(error)", "rank \(failing[0]) fell over")
        XCTAssertEqual((error as? JobError)?.speaker, job.size > 1 ? failing[0] : nil)
      }
    }
  }

  func testWhereNoneFailsEachHasItsOwn() throws {
    XCTAssertEqual(try job.together { job.rank + 7 }, job.rank + 7)
  }

  func testWhatTheCoordinatorCannotMakeAllMiss() throws {
    XCTAssertThrowsError(
      try job.fromCoordinator { () -> [Int] in
        XCTAssertEqual(job.rank, 0)
        throw Trouble(description: "no such file")
      }
    ) { XCTAssertEqual("\($0)", "no such file") }
    XCTAssertEqual(try job.fromCoordinator { [job.rank, 3] }, [0, 3])
  }
}
