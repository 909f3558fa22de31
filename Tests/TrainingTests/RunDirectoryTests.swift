import Foundation
import Tensors
import Testing
import Training

@Suite struct RunDirectoryTests {
  private func refusal(_ path: String, _ opening: RunDirectory.Opening) -> String {
    do {
      _ = try RunDirectory(path, opening)
      return "accepted"
    } catch {
      return "\(error)"
    }
  }

  @Test func aNewRunIsMadeWithAllAboveIt() throws {
    try withScratchDirectory { scratch in
      let run = try RunDirectory(scratch + "/a/b/run", .new)
      var config = RunConfig()
      config.seed = 7
      try run.save(config)
      #expect(try ConfigLoader.load(file: run.configPath).config == config)
    }
  }

  @Test func aSecondJobIsTurnedAway() throws {
    try withScratchDirectory { scratch in
      let path = scratch + "/run"
      let host = ProcessInfo.processInfo.hostName
      do {
        let run = try RunDirectory(path, .new)
        try run.save(RunConfig())
        for opening in [RunDirectory.Opening.new, .resume] {
          #expect(refusal(path, opening) == "\(path): in use by another job (pid \(getpid()) on \(host))")
        }
        withExtendedLifetime(run) {}
      }
      #expect(refusal(path, .resume) == "accepted")
    }
  }

  @Test func aRunIsNotOverwritten() throws {
    try withScratchDirectory { scratch in
      let path = scratch + "/run"
      #expect(refusal(path, .resume) == "\(path): no run to resume (it holds no config.yaml)")
      #expect(!FileManager.default.fileExists(atPath: path))
      try RunDirectory(path, .new).save(RunConfig())
      #expect(
        refusal(path, .new)
          == "\(path): already holds a run; continue it with --resume, or choose another --out")
      let other = scratch + "/other"
      try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
      try DurableFile.write([1], to: other + "/thesis.tex")
      #expect(
        refusal(other, .new) == "\(other): expects an empty directory for a new run, but it holds thesis.tex")
      #expect(try FileManager.default.contentsOfDirectory(atPath: other) == ["thesis.tex"])
      let file = scratch + "/file"
      try DurableFile.write([1], to: file)
      #expect(refusal(file, .new) == "\(file): expects a directory, got a file")
      #expect(refusal(file + "/run", .new) == "\(file)/run: can't create the directory: Not a directory")
    }
  }

  @Test func defaultNamesNeverMeet() throws {
    try withScratchDirectory { scratch in
      let time = Date(timeIntervalSince1970: 1_700_000_000)
      let runs = try (0..<3).map { _ in
        try RunDirectory.create(under: scratch + "/runs", model: "lenet5", at: time)
      }
      let stem = try #require(runs[0].path.split(separator: "/").last)
      #expect(stem.wholeMatch(of: /lenet5-2023111\d-\d{6}-1/) != nil)
      #expect(runs.map { $0.path.last } == ["1", "2", "3"])
    }
  }
}
