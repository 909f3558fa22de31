import Diagnosis
import Foundation
import Testing

/// The probes themselves, on this machine.
@Suite struct ProbeTests {
  private func inScratch<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
  }

  @Test func writingLeavesNothingBehind() throws {
    try inScratch { folder in
      let facts = StorageProbe.writing(to: folder + "/runs/first")
      #expect(facts.problem == nil)
      #expect(facts.bytesPerSecond ?? 0 > 0 && facts.freeBytes ?? 0 > 0 && facts.kind != "unknown")
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left == [])
    }
  }

  @Test func whatCannotBeWrittenIsNamed() throws {
    try inScratch { folder in
      let file = folder + "/note.txt"
      try Data("text".utf8).write(to: URL(fileURLWithPath: file))
      #expect(StorageProbe.writing(to: file).problem == "\(file): not a directory")
    }
  }

  @Test func readingCountsFiles() throws {
    try inScratch { folder in
      #expect(StorageProbe.reading(from: folder).problem == "\(folder): holds no files")
      #expect(StorageProbe.reading(from: folder + "/cells").problem?.contains("No such file") == true)
      for name in ["a", "b"] {
        try FileManager.default.createDirectory(
          atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        try Data(repeating: 1, count: 1000).write(to: URL(fileURLWithPath: "\(folder)/\(name)/cell.png"))
      }
      let facts = StorageProbe.reading(from: folder)
      let (files, bytes) = (try #require(facts.filesPerSecond), try #require(facts.bytesPerSecond))
      #expect(facts.problem == nil && abs(bytes / files - 1000) < 1)
    }
  }

  @Test func fileSystemsAreNamed() {
    let mounts = """
      /dev/sda / ext4 rw 0 0
      tmpfs /home tmpfs rw 0 0
      server:/x /home/my\\040cells nfs4 rw 0 0
      """
    func kind(_ path: String) -> String { MountTable.kind(of: path, mounts: mounts) }
    #expect(
      [kind("/"), kind("/homes/a"), kind("/home/a"), kind("/home/my cells/b")] == [
        "ext4", "ext4", "tmpfs", "nfs4",
      ])
  }

  /// An agent in the place of ssh: a script that gets the host and the command.
  private func ask(_ script: String, of hosts: [Hostfile.Entry]) throws -> [HostFacts] {
    try inScratch { folder in
      let agent = folder + "/agent"
      try Data("#!/bin/sh\nhost=$1\nshift\n\(script)\n".utf8).write(to: URL(fileURLWithPath: agent))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: agent)
      return HostProbe.ask(hosts, program: "/nowhere/cnn dist", agent: [agent])
    }
  }

  @Test func hostsAreAsked() throws {
    let hosts = Hostfile(path: "hosts", text: "one slots=3\ntwo\n").entries
    let answers = try ask("[ $host = one ] || { echo denied >&2; exit 255; }; echo 8; echo 0.1.0", of: hosts)
    #expect(answers.map(\.host) == ["one", "two"])
    #expect(answers[0].cores == 8 && answers[0].version == "0.1.0" && answers[0].problem == nil)
    #expect(answers[0].slots == 3 && answers[1].slots == nil)
    #expect(answers[1].problem == "denied")
    // The program's path is quoted, and what it lacks is not taken for a version.
    let missing = try ask("exec sh -c \"$*\"", of: [hosts[0]])
    #expect(missing[0].cores != nil && missing[0].version == nil && missing[0].problem == nil)
  }
}
