import ArgumentParser
import CKernels
import Collectives
import Foundation
import Tensors
import Training

/// The one place where a command begins and ends: MPI is joined, errors become one line and an exit,
/// and no rank is left waiting.
enum Program {
  /// What the exit status of `cnn-dist` says.
  enum Status {
    static let failure: Int32 = 1
    /// SIGINT, SIGTERM or SIGUSR1 ended the run after a checkpoint; `train --resume` goes on.
    static let stoppedBySignal: Int32 = 3
  }

  /// Runs a command as a rank of its job. An error on any rank ends all of them within seconds.
  static func run(_ body: (Communicator) throws -> Int32) throws {
    let communicator: Communicator
    do {
      communicator = try Communicator.start(environment: ProcessInfo.processInfo.environment)
    } catch {
      say("cnn-dist: \(error)")
      throw ExitCode(Status.failure)
    }
    GEMM.useOneThread()
    cnn_flush_denormals()
    do {
      let status = try body(communicator)
      try communicator.finish()
      if status != 0 { throw ExitCode(status) }
    } catch let exit as ExitCode {
      throw exit
    } catch let error as any SharedError where error.speaker != communicator.rank {
      // All ranks have this error. The one that speaks ends the job, and this rank with it.
      Thread.sleep(forTimeInterval: 2)
      communicator.abort(status: Status.failure)
    } catch {
      say(communicator.size > 1 ? "rank \(communicator.rank): \(error)" : "cnn-dist: \(error)")
      // The launcher has words of its own about an abort: those come second.
      if communicator.size > 1 { Thread.sleep(forTimeInterval: 0.2) }
      communicator.abort(status: Status.failure)
    }
  }

  /// Runs a command that one process does alone.
  static func runAlone(_ body: () throws -> Void) throws {
    GEMM.useOneThread()
    cnn_flush_denormals()
    do {
      try body()
    } catch {
      say("cnn-dist: \(error)")
      throw ExitCode(Status.failure)
    }
  }

  /// A command's result on stdout. Throws `FileError` where it can't be written whole.
  static func output(_ text: String) throws(FileError) {
    try outputExactly(Array((text.hasSuffix("\n") ? text : text + "\n").utf8))
  }

  /// A part of a result on stdout. Throws `FileError` where it can't be written whole.
  static func outputExactly(_ bytes: [UInt8]) throws(FileError) {
    fflush(nil)
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(1, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw FileError(path: "the standard output", cannot: "write") }
      rest = rest.dropFirst(count)
    }
  }

  /// One line on stderr, in one piece, so that lines of several ranks don't mix.
  static func say(_ line: String) {
    FileHandle.standardError.write(Foundation.Data((line + "\n").utf8))
  }
}
