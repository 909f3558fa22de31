import ArgumentParser
import Foundation
import Training

/// The program `cnn-dist`.
public struct CNNDist: ParsableCommand {
  /// What `cnn-dist --help` says, and the subcommands.
  public static let configuration = CommandConfiguration(
    commandName: "cnn-dist",
    abstract: "Train convolutional networks that classify cell images, on CPUs, alone or under mpirun.",
    discussion: """
      Examples:
        cnn-dist train                                     synthetic cells, done in about a minute
        mpirun -np 8 cnn-dist train --data cells --out runs/cells
        cnn-dist evaluate --run runs/cells --split test
      """,
    version: Version.current,
    subcommands: [
      TrainCommand.self, EvaluateCommand.self, PredictCommand.self, InspectCommand.self, DataCommand.self,
      ExportCommand.self, VerifyCommand.self, BenchCommand.self, ScaleCommand.self, DoctorCommand.self,
    ])

  /// As the argument parser makes it, before it reads the command line.
  public init() {}

  /// Parses the command line and runs what it says. A wrong command line is told once, by rank 0.
  public static func start() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let environment = ProcessInfo.processInfo.environment
      let rank = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"].compactMap { environment[$0] }.first
      if let rank, rank != "0", exitCode(for: error) == .validationFailure {
        // Rank 0 says the same; the first to leave would have the others killed before it spoke.
        Thread.sleep(forTimeInterval: 1)
        Glibc.exit(exitCode(for: error).rawValue)
      }
      exit(withError: error)
    }
  }
}
